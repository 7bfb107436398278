package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/reference/internal/node"
)

// Endpoint is how a node is reached.
type Endpoint struct {
	Node, Region string
	Admin        string // host:port
	Client       string // host:port of the RESP front door; may be empty
}

const patience = 5 * time.Second // for one answer: a probe by a node takes up to 2 s

// call asks a node; an answer other than 200 is an error with its text.
func call(ctx context.Context, method string, e Endpoint, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.Admin+path, body)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("node %s: %w", e.Node, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("node %s: %w", e.Node, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("node %s: %s", e.Node, strings.TrimSpace(string(b)))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("node %s: %w", e.Node, err)
	}
	return nil
}

// each runs fn for all endpoints at once; errors stand by their index.
func each(es []Endpoint, fn func(i int, e Endpoint) error) []error {
	errs := make([]error, len(es))
	var wg sync.WaitGroup
	for i, e := range es {
		wg.Go(func() { errs[i] = fn(i, e) })
	}
	wg.Wait()
	return errs
}

// reports asks all nodes; those that do not answer have a nil report.
func reports(ctx context.Context, es []Endpoint, probe []string) ([]*node.Report, []error) {
	rs := make([]*node.Report, len(es))
	q := ""
	if len(probe) > 0 {
		q = "?" + url.Values{"probe": probe}.Encode()
	}
	errs := each(es, func(i int, e Endpoint) error {
		var r node.Report
		if err := call(ctx, http.MethodGet, e, "/recovery"+q, nil, &r); err != nil {
			return err
		}
		rs[i] = &r
		return nil
	})
	return rs, errs
}

// Reports are those of the nodes that answer.
func Reports(ctx context.Context, es []Endpoint) (out []*node.Report) {
	rs, _ := reports(ctx, es, nil)
	for _, r := range rs {
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}

// answers says by which of its addresses a node answers, empty for none: at
// all, for a process that is busy is no lost one.
func answers(ctx context.Context, e Endpoint) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Admin+"/healthz", nil); err == nil && e.Admin != "" {
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			return "admin address " + e.Admin
		}
	}
	if e.Client == "" {
		return ""
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", e.Client)
	if err != nil {
		return ""
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return ""
	}
	if n, _ := c.Read(make([]byte, 16)); n > 0 {
		return "front door " + e.Client
	}
	return ""
}

// regionsOf lists the regions in the endpoints' order.
func regionsOf(es []Endpoint) (rs []string) {
	for _, e := range es {
		if !slices.Contains(rs, e.Region) {
			rs = append(rs, e.Region)
		}
	}
	return rs
}

var errNobody = errors.New("no node answers")
