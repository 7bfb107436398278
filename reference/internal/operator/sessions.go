package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/recovery"
)

// SessionCheck says how the sessions of an archive are found again.
type SessionCheck struct {
	Archived int       `json:"archived"` // sessions that the archive has and that did not end meanwhile
	Same     int       `json:"same"`     // found with the state that was archived
	Newer    int       `json:"newer"`    // found with a state written since
	Ended    int       `json:"ended"`    // closed or expired while we looked
	Lost     []string  `json:"lost"`     // not found; no more than 100 are named
	LostAll  int       `json:"lost_sessions"`
	Other    []string  `json:"other"` // found with a state that is neither archived nor written since
	Reached  time.Time `json:"reached"`
}

const atOnce = 500 // reads in one pipeline

// CheckSessions reads every session of the archive by strong reads through the
// front doors. What is not found, or is another, is looked up in the archive
// again once it has gone on: a session that was closed or written meanwhile is well.
func CheckSessions(ctx context.Context, all []Endpoint, b *archive.Bucket) (*SessionCheck, error) {
	first, err := recovery.PrepareRestore(ctx, b, time.Now())
	if err != nil {
		return nil, err
	}
	c := &SessionCheck{Lost: []string{}, Other: []string{}, Reached: first.Reached}
	want := map[string][]byte{}
	first.Each(func(_ int, k, v []byte) { want[string(k)] = bytes.Clone(v) })
	c.Archived = len(want)
	got, missing := map[string]string{}, map[string]bool{}
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	for len(keys) > 0 {
		n := min(atOnce, len(keys))
		if err := readAll(ctx, all, keys[:n], got, missing); err != nil {
			return nil, err
		}
		keys = keys[n:]
	}
	again := map[string][]byte{}
	for k, v := range got {
		if v == string(want[k]) {
			c.Same++
		} else {
			again[k] = []byte(v)
		}
	}
	if len(again)+len(missing) == 0 {
		return c, nil
	}
	// The archive of what the reads saw is there some seconds later.
	read := time.Now()
	var second *recovery.Restore
	for second == nil || second.Reached.Before(read) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
		if time.Since(read) > 20*time.Second {
			return nil, fmt.Errorf("%d sessions differ and %d are missing, and the archive does not go on, so whether they were written since cannot be said", len(again), len(missing))
		}
		if second, err = recovery.PrepareRestore(ctx, b, time.Now()); err != nil {
			return nil, err
		}
	}
	now := map[string][]byte{}
	second.Each(func(_ int, k, v []byte) { now[string(k)] = bytes.Clone(v) })
	for k := range missing {
		if _, there := now[k]; !there {
			c.Ended++
			continue
		}
		c.LostAll++
		if len(c.Lost) < 100 {
			c.Lost = append(c.Lost, k)
		}
	}
	for k := range again {
		if v, there := now[k]; !there || !bytes.Equal(v, want[k]) {
			c.Newer++ // written since
			continue
		}
		c.Other = append(c.Other, k)
	}
	return c, nil
}

// readAll reads keys by strong reads, each through any front door that answers.
func readAll(ctx context.Context, all []Endpoint, keys []string, got map[string]string, missing map[string]bool) error {
	deadline := time.Now().Add(30 * time.Second)
	var last error
	for time.Now().Before(deadline) && ctx.Err() == nil {
		for _, e := range all {
			if e.Client == "" {
				continue
			}
			cl := redis.NewClient(&redis.Options{Addr: e.Client, MaxRetries: -1, ReadTimeout: 5 * time.Second, Protocol: 2})
			cmds, err := cl.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, k := range keys {
					p.Get(ctx, k)
				}
				return nil
			})
			cl.Close()
			var left []string
			for i, k := range keys {
				if i >= len(cmds) {
					left = append(left, k)
					continue
				}
				switch v, err := cmds[i].(*redis.StringCmd).Result(); {
				case err == nil:
					got[k] = v
				case errors.Is(err, redis.Nil):
					missing[k] = true
				default:
					last = err
					left = append(left, k)
				}
			}
			if err != nil && last == nil {
				last = err
			}
			if keys = left; len(keys) == 0 {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%d sessions cannot be read, as %s: %w", len(keys), strings.ToValidUTF8(keys[0], "?"), last)
}
