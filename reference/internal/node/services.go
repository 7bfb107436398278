package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/healing"
	"github.com/fivenines/fivenines/reference/internal/healing/tree"
	"github.com/fivenines/fivenines/reference/internal/traffic"
)

// What a node's process consists of is of two kinds.
//
// Its core is the Raft loop and the writer to disk: to begin them again in the
// same process would forget what was promised, or acknowledge what was not
// stored. Their failure ends the process, and a restarted one waits the promises
// out (rule 3).
//
// Everything else is a service: the front doors (clients, peers, admin, dns), the
// connections and paths to other nodes, the archive, the watch over the disk's
// room. None of them holds anything that was promised: what was under way in one
// is, to whoever waits for it, a connection that broke. They are restarted in
// place, and if that doesn't help the node gives away what it leads.
const (
	branchDoors  = "doors"
	branchLinks  = "links"
	branchUpkeep = "upkeep"
)

// newTree makes the supervisor of the services.
func newTree(n *Node) *tree.Tree {
	t := tree.New(tree.Options{Config: n.cfg.Healing, Now: n.Now, Log: n.log, Tell: n.serviceEvent})
	n.metrics.reg.MustRegister(serviceCollector{t})
	n.panics = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fivenines", Name: "panics_total", Help: "Panics that ended a connection or a service and not the process."}, []string{"service"})
	n.metrics.reg.MustRegister(n.panics)
	n.server.Panicked = func(p any) { n.panicked("clients", p) }
	return t
}

// serviceEvent tells what was decided about a service.
func (n *Node) serviceEvent(service string, e healing.Event) {
	kind := "service-" + e.Kind
	if e.Kind == healing.Escalated {
		kind = e.Kind
	}
	n.events.emit(kind, []string{n.cfg.ID}, e.Detail, map[string]string{"service": service, "priority": e.Priority})
	n.metrics.decisions.WithLabelValues(kind, e.Priority).Inc()
	if service == "dns" {
		return // others answer at the one address; sessions don't need it
	}
	switch e.Kind {
	case healing.Escalated:
		n.setUnfitFor("service "+service, e.Detail)
	case healing.Healed:
		n.setUnfitFor("service "+service, "")
	}
}

// setUnfitFor says that this node must not lead shards for a reason of this
// name, or, with an empty why, that this reason is no more. Any goroutine.
func (n *Node) setUnfitFor(name, why string) {
	n.do(func() {
		delete(n.unfitFor, name)
		if why != "" {
			n.unfitFor[name] = why
		}
		var all []string
		for _, why := range n.unfitFor {
			all = append(all, why)
		}
		slices.Sort(all)
		n.manager.setUnfit(n.Now(), strings.Join(all, "; "))
	})
}

// panicked takes note of a panic that ended a connection and nothing else.
func (n *Node) panicked(service string, p any) {
	n.log.Error("a panic ended a connection", "service", service, "panic", p, "stack", string(debug.Stack()))
	n.panics.WithLabelValues(service).Inc()
}

// ended is why a life ended, as text: with services left behind it must not
// begin another one.
func ended(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// door is an address at which a service listens in each of its lives.
type door struct {
	addr  string
	first net.Listener // opened before the node started; nil: used
	panic *atomic.Bool // of a test
}

func newDoor(l net.Listener) *door {
	return &door{addr: l.Addr().String(), first: l, panic: new(atomic.Bool)}
}

func (d *door) open() (net.Listener, error) {
	l := d.first
	d.first = nil
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", d.addr); err != nil {
			return nil, err
		}
	}
	return &doorListener{l, d}, nil
}

// doorListener panics where a test asked for it.
type doorListener struct {
	net.Listener
	d *door
}

func (l *doorListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.d.panic.CompareAndSwap(true, false) {
		c.Close()
		panic("a test asked for it")
	}
	return c, err
}

// behind runs a service on the door's listener.
func (d *door) behind(serve func(context.Context, net.Listener) error) func(context.Context) error {
	return func(ctx context.Context) error {
		l, err := d.open()
		if err != nil {
			return err
		}
		defer l.Close()
		return serve(ctx, l)
	}
}

// reach is where this process dials its own door.
func (d *door) reach() string {
	host, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		return d.addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// answers checks that something that is sent to the door is answered.
func (d *door) answers(ask []byte, good func(*bufio.Reader) error) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.reach())
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return nil // we can't ask; to close everybody's connections would be worse
		}
		if err != nil {
			return err
		}
		defer c.Close()
		if at, ok := ctx.Deadline(); ok {
			c.SetDeadline(at)
		}
		if _, err := c.Write(ask); err != nil {
			return err
		}
		return good(bufio.NewReader(c))
	}
}

// someLine takes any line, and an end without one: a door that is full, or lets
// nobody in, works. To start it again would throw everybody out.
func someLine(r *bufio.Reader) error {
	_, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// serveAdmin is one life of the admin service.
func (n *Node) serveAdmin(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: n.adminHandler(), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	defer srv.Close()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// addAdmin starts the admin service, before everything else.
func (n *Node) addAdmin(l net.Listener) {
	d := newDoor(l)
	n.doors["admin"] = d
	n.tree.Add(tree.Service{Name: "admin", Branch: branchDoors, Run: d.behind(n.serveAdmin), Check: d.answers([]byte("GET /healthz HTTP/1.0\r\n\r\n"), someLine)})
}

// addServices starts the others, but for the front door of clients.
func (n *Node) addServices(peers net.Listener) error {
	d := newDoor(peers)
	n.doors["peers"] = d
	n.tree.Add(tree.Service{Name: "peers", Branch: branchDoors, Run: d.behind(n.serveP2P),
		Check: d.answers(AppendFrame(nil, FrameCanary, []byte("health")), func(r *bufio.Reader) error {
			_, err := io.ReadFull(r, make([]byte, len(AppendFrame(nil, FrameCanary, []byte("health")))))
			return err
		})})
	for _, p := range n.peers {
		if p != nil {
			n.tree.Add(tree.Service{Name: "peer " + p.id, Branch: branchLinks, Run: func(ctx context.Context) error { p.run(ctx); return nil }})
		}
	}
	for _, r := range n.routers {
		n.tree.Add(tree.Service{Name: "paths to " + r.region, Branch: branchLinks, Run: r.run, Check: r.healthy})
	}
	if n.cfg.DNS != "" {
		s, err := n.listenDNS()
		if err != nil {
			return err
		}
		s.Panicked = func(p any) { n.panicked("dns", p) }
		open := true
		n.tree.Add(tree.Service{Name: "dns", Branch: branchDoors, Check: func(ctx context.Context) error { return n.dnsAnswers(ctx, s) }, Run: func(ctx context.Context) error {
			if !open {
				if err := s.Reopen(); err != nil {
					return err
				}
			}
			open = false
			return s.Run(ctx)
		}})
		n.tree.Add(tree.Service{Name: "dns view", Branch: branchUpkeep, Run: func(ctx context.Context) error { n.keepView(ctx, s); return nil }})
	}
	if n.archive != nil {
		n.tree.Add(tree.Service{Name: "archive", Branch: branchUpkeep, Run: n.archive.run, Check: n.archive.healthy})
	}
	if n.cfg.Alertmanager != "" {
		n.tree.Add(tree.Service{Name: "alerts", Branch: branchUpkeep, Run: n.tellAlerts})
	}
	n.tree.Add(tree.Service{Name: "room", Branch: branchUpkeep, Run: n.watchRoom})
	return nil
}

// addClients opens the front door of clients, last of all.
func (n *Node) addClients(l net.Listener) {
	d := newDoor(l)
	n.doors["clients"] = d
	n.tree.Add(tree.Service{Name: "clients", Branch: branchDoors, Run: d.behind(n.server.Serve), Check: d.answers([]byte("PING\r\n"), someLine)})
}

// dnsAnswers asks the DNS server something; any answer will do.
func (n *Node) dnsAnswers(ctx context.Context, s *traffic.Server) error {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(traffic.DefaultZone), dns.TypeSOA)
	d := &door{addr: s.Addr()}
	_, _, err := (&dns.Client{Net: "udp"}).ExchangeContext(ctx, q, d.reach())
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return nil
	}
	return err
}

const (
	routerStandstill  = 5 * time.Second
	archiveStandstill = 4 * archivePatience
)

// healthy says whether the router still decides.
func (r *router) healthy(context.Context) error {
	return recent(&r.turned, r.n.Now(), routerStandstill)
}

// healthy says whether the archiver still does something.
func (a *archiver) healthy(context.Context) error {
	return recent(&a.turned, a.n.Now(), archiveStandstill)
}

func recent(at *atomic.Int64, now, within time.Duration) error {
	if d := now - time.Duration(at.Load()); d > within {
		return fmt.Errorf("has done nothing for %v", d.Round(time.Millisecond))
	}
	return nil
}

// serviceCollector shows the services in the metrics.
type serviceCollector struct{ t *tree.Tree }

var (
	serviceUpDesc       = prometheus.NewDesc("fivenines_service_up", "Whether a service of this process runs and is well.", []string{"service"}, nil)
	serviceRestartsDesc = prometheus.NewDesc("fivenines_service_restarts_total", "How often a service of this process was started again.", []string{"service"}, nil)
	serviceLostDesc     = prometheus.NewDesc("fivenines_service_escalated", "Whether a service of this process is an operator's, since restarts did not help.", []string{"service"}, nil)
)

func (c serviceCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- serviceUpDesc
	ch <- serviceRestartsDesc
	ch <- serviceLostDesc
}

func (c serviceCollector) Collect(ch chan<- prometheus.Metric) {
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, s := range c.t.Status() {
		ch <- prometheus.MustNewConstMetric(serviceUpDesc, prometheus.GaugeValue, flag(s.Running && s.Why == ""), s.Name)
		ch <- prometheus.MustNewConstMetric(serviceRestartsDesc, prometheus.CounterValue, float64(s.Restarts), s.Name)
		ch <- prometheus.MustNewConstMetric(serviceLostDesc, prometheus.GaugeValue, flag(s.Escalated), s.Name)
	}
}

// panicHandler exists only where a test asked for it in the environment.
func (n *Node) panicHandler(mux *http.ServeMux) {
	if os.Getenv("FIVENINES_TEST_PANIC") == "" {
		return
	}
	mux.HandleFunc("POST /test/panic", func(w http.ResponseWriter, r *http.Request) {
		d := n.doors[r.URL.Query().Get("door")]
		if d == nil {
			http.Error(w, "no such door", http.StatusNotFound)
			return
		}
		d.panic.Store(true)
	})
}
