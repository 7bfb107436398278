package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The official Go client works against the front door, in both protocol
// versions, alone and as a cluster client.
func TestGoRedis(t *testing.T) {
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			d := serve(t)
			c := redis.NewClient(&redis.Options{Addr: d.addr, Protocol: proto, ClientName: "me", MaxRetries: -1})
			defer c.Close()
			conform(t, d, c)
			name, err := c.ClientGetName(t.Context()).Result()
			require.NoError(t, err)
			require.Equal(t, "me", name)
		})
		t.Run(fmt.Sprintf("cluster, RESP%d", proto), func(t *testing.T) {
			d := serve(t)
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{d.addr}, Protocol: proto, MaxRedirects: -1})
			defer c.Close()
			//lint:ignore SA1019 SLOTS is what the front door serves
			slots, err := c.ClusterSlots(t.Context()).Result()
			require.NoError(t, err)
			require.Len(t, slots, 2)
			require.Equal(t, d.addr, slots[0].Nodes[0].Addr)
			require.Equal(t, 16383, slots[1].End)
			conform(t, d, c)
		})
	}
}

func conform(t *testing.T, d *door, c redis.UniversalClient) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	do := func(err error) { t.Helper(); require.NoError(t, err) }

	do(c.Ping(ctx).Err())
	do(c.Set(ctx, "a", "1", time.Minute).Err())
	v, err := c.Get(ctx, "a").Result()
	do(err)
	require.Equal(t, "1", v)
	require.ErrorIs(t, c.Get(ctx, "none").Err(), redis.Nil)
	ttl, err := c.PTTL(ctx, "a").Result()
	do(err)
	require.InDelta(t, time.Minute, ttl, float64(2*time.Second))
	v, err = c.GetEx(ctx, "a", time.Hour).Result()
	do(err)
	require.Equal(t, "1", v)
	ttl, err = c.TTL(ctx, "a").Result()
	do(err)
	require.InDelta(t, time.Hour, ttl, float64(2*time.Second))

	ok, err := c.SetNX(ctx, "a", "2", time.Minute).Result()
	do(err)
	require.False(t, ok)
	ok, err = c.SetXX(ctx, "a", "3", redis.KeepTTL).Result()
	do(err)
	require.True(t, ok)
	old, err := c.SetArgs(ctx, "a", "4", redis.SetArgs{Mode: "XX", Get: true, TTL: time.Minute}).Result()
	do(err)
	require.Equal(t, "3", old)
	require.ErrorIs(t, c.SetArgs(ctx, "none", "4", redis.SetArgs{Mode: "XX"}).Err(), redis.Nil)

	ok, err = c.Expire(ctx, "a", 10*time.Second).Result()
	do(err)
	require.True(t, ok)
	ok, err = c.PExpire(ctx, "none", time.Second).Result()
	do(err)
	require.False(t, ok)
	v, err = c.GetEx(ctx, "a", 0).Result() // PERSIST
	do(err)
	require.Equal(t, "4", v)
	ttl, err = c.PTTL(ctx, "a").Result()
	do(err)
	require.EqualValues(t, -1, ttl)

	do(c.Set(ctx, "{a}b", "5", 0).Err())
	many, err := c.MGet(ctx, "a", "{a}none", "{a}b").Result()
	do(err)
	require.Equal(t, []any{"4", nil, "5"}, many)
	n, err := c.Exists(ctx, "a", "{a}b", "{a}none").Result()
	do(err)
	require.EqualValues(t, 2, n)
	n, err = c.DBSize(ctx).Result()
	do(err)
	require.EqualValues(t, 2, n)
	v, err = c.GetDel(ctx, "{a}b").Result()
	do(err)
	require.Equal(t, "5", v)
	n, err = c.Del(ctx, "a", "{a}b").Result()
	do(err)
	require.EqualValues(t, 1, n)

	// Pipelines, from several goroutines at once.
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var got []*redis.StringCmd
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 100 {
					k := fmt.Sprintf("p%d-%d", g, i)
					p.Set(ctx, k, i, time.Minute)
					got = append(got, p.Get(ctx, k))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			for i, r := range got {
				if r.Val() != fmt.Sprint(i) {
					t.Errorf("read %q behind the write of %d", r.Val(), i)
				}
			}
		})
	}
	wg.Wait()
	n, err = c.DBSize(ctx).Result()
	do(err)
	require.EqualValues(t, 800, n)

	do(c.Set(ctx, "short", "v", 1500*time.Millisecond).Err())
	d.node.advance(1400 * time.Millisecond)
	do(c.Get(ctx, "short").Err())
	d.node.advance(time.Second)
	require.ErrorIs(t, c.Get(ctx, "short").Err(), redis.Nil)

	err = c.Do(ctx, "LPUSH", "list", "x").Err()
	require.ErrorContains(t, err, "ERR unknown command 'LPUSH', with args beginning with: 'list' 'x'")
	do(c.Info(ctx).Err())
	infos, err := c.Command(ctx).Result()
	do(err)
	require.Len(t, infos, len(Commands()))
	require.True(t, infos["get"].ReadOnly)
}
