package supervise

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fivenines/fivenines/reference/internal/healing"
)

// window is what the supervisor shows at the node's admin address while there
// is no process: that the node is not well, and what was decided.
type window struct {
	opt Options

	mu       sync.Mutex
	told     []event
	seq      int
	why      string
	restarts int
	lost     bool // escalated
	srv      *http.Server
	l        net.Listener
}

// event is one line of a node's event stream.
type event struct {
	Seq    int               `json:"seq"`
	Time   time.Time         `json:"time"`
	Node   string            `json:"node"`
	Region string            `json:"region"`
	Kind   string            `json:"kind"`
	Parts  []string          `json:"parts"`
	Detail string            `json:"detail"`
	Fields map[string]string `json:"fields"`
}

const keptEvents = 64

func newWindow(opt Options) *window { return &window{opt: opt} }

// Kind names an event of a process in a node's event stream.
func Kind(kind string) string {
	if kind == healing.Escalated {
		return kind
	}
	return "process-" + kind
}

// tell keeps what was decided, for whoever asks while there is no process.
func (w *window) tell(events []healing.Event, m *healing.Machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why, w.restarts, w.lost = m.Why(), m.Restarts(), m.Escalated()
	for _, e := range events {
		if e.Kind == healing.Healed {
			w.told = nil // what is told next time is of the next failure
		}
		w.seq++
		w.told = append(w.told, event{Seq: w.seq, Time: time.Now().UTC(), Node: w.opt.Name, Region: w.opt.Region, Kind: Kind(e.Kind),
			Parts: []string{w.opt.Name, w.opt.Region}, Detail: e.Detail, Fields: map[string]string{"priority": e.Priority}})
		w.told = w.told[max(0, len(w.told)-keptEvents):]
	}
}

// open begins to answer, if it does not yet.
func (w *window) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.srv != nil {
		return nil
	}
	l, err := net.Listen("tcp", w.opt.Health)
	if err != nil {
		return fmt.Errorf("%s: %w", w.opt.Health, err)
	}
	mux := http.NewServeMux()
	unwell := func(rw http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		what := "its supervisor waits to start it again"
		if w.lost {
			what = "its supervisor has given it to an operator"
		}
		http.Error(rw, fmt.Sprintf("the process of %s is gone (%s): %s", w.opt.Name, w.why, what), http.StatusServiceUnavailable)
	}
	mux.HandleFunc("GET /healthz", unwell)
	mux.HandleFunc("GET /readyz", unwell)
	mux.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		lost := 0
		if w.lost {
			lost = 1
		}
		fmt.Fprintf(rw, "# TYPE fivenines_process_restarts gauge\nfivenines_process_restarts %d\n# TYPE fivenines_process_escalated gauge\nfivenines_process_escalated %d\n", w.restarts, lost)
	})
	mux.HandleFunc("GET /events", w.events)
	w.srv, w.l = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, l
	go w.srv.Serve(l)
	return nil
}

// close gives the address up, and everybody who listens at it.
func (w *window) close() {
	w.mu.Lock()
	srv, l := w.srv, w.l
	w.srv = nil
	w.mu.Unlock()
	if srv != nil {
		srv.Close()
		l.Close() // at once, also if it was not served yet
	}
}

// events streams what was decided until the process runs again.
func (w *window) events(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/x-ndjson")
	rw.WriteHeader(http.StatusOK)
	enc, fl := json.NewEncoder(rw), http.NewResponseController(rw)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := 0; ; {
		w.mu.Lock()
		told := append([]event(nil), w.told...)
		w.mu.Unlock()
		for _, e := range told {
			if e.Seq <= last {
				continue
			}
			if enc.Encode(e) != nil {
				return
			}
			last = e.Seq
		}
		if fl.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
