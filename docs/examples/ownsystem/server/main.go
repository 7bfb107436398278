// Command server is the system of the how-to (docs/howto-own-go-system.md): a session
// store in one process that speaks as much of the Redis protocol as sessions need, with
// or without a log on disk. It stands for a system of yours and knows nothing of
// fivenines.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:7379", "address of clients")
	peer := flag.String("peer", "", "address of other nodes, which are answered as clients are; empty: none")
	file := flag.String("log", "", "file that keeps what was acknowledged; empty: memory only")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "server:", serve(*file, *listen, *peer)) // it serves until it is killed
	os.Exit(1)
}

// serve answers on the addresses. It returns only with an error.
func serve(file string, addrs ...string) error {
	s := &store{sessions: map[string]session{}}
	if err := s.open(file); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	failed := make(chan error)
	for _, addr := range addrs {
		if addr == "" {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() { failed <- s.accept(l) }()
	}
	return <-failed
}

func (s *store) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go s.talk(conn)
	}
}

// session is a value and when it ends.
type session struct {
	Key   string    `json:"key"`
	Value []byte    `json:"value"` // any bytes: as a string, JSON would replace those that are no text
	Ends  time.Time `json:"ends"`  // zero in the log: the session was closed
}

type store struct {
	mu       sync.Mutex
	sessions map[string]session
	log      *os.File // nil: memory only
}

// open reads the log back. A last line that a crash cut off was not acknowledged.
func (s *store) open(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	whole := int64(0)
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var e session
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		whole += int64(len(line))
		if s.sessions[e.Key] = e; e.Ends.IsZero() {
			delete(s.sessions, e.Key)
		}
	}
	if err := f.Truncate(whole); err != nil {
		return err
	}
	_, err = f.Seek(whole, io.SeekStart)
	s.log = f
	return err
}

// put keeps a session before it is acknowledged; one that has no end is closed.
func (s *store) put(e session) error {
	if s.log != nil {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := s.log.Write(append(b, '\n')); err != nil {
			return err
		}
		if err := s.log.Sync(); err != nil {
			return err
		}
	}
	if s.sessions[e.Key] = e; e.Ends.IsZero() {
		delete(s.sessions, e.Key)
	}
	return nil
}

func (s *store) talk(conn net.Conn) {
	defer conn.Close()
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		args, err := command(r)
		if err != nil {
			return
		}
		if _, err := w.WriteString(s.do(args)); err != nil {
			return
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

const null = "$-1\r\n"

func bulk(v []byte) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v) }

func (s *store) do(args []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, arg := strings.ToUpper(args[0]), func(i int) string { return append(args, "", "", "")[min(i, len(args))] }
	old, found := s.sessions[arg(1)]
	found = found && time.Now().Before(old.Ends)
	var err error
	reply := null
	switch name {
	case "PING":
		return "+PONG\r\n"
	case "GET":
		if found {
			reply = bulk(old.Value)
		}
	case "GETDEL":
		if found {
			reply, err = bulk(old.Value), s.put(session{Key: arg(1)})
		}
	case "GETEX": // GETEX key EX seconds
		if found {
			old.Ends = ends(args[2:])
			reply, err = bulk(old.Value), s.put(old)
		}
	case "SET": // SET key value [NX|XX] [EX seconds]
		only := strings.ToUpper(arg(3))
		if only == "NX" && found || only == "XX" && !found {
			break
		}
		reply, err = "+OK\r\n", s.put(session{arg(1), []byte(arg(2)), ends(args[3:])})
	default:
		return "-ERR unknown command\r\n"
	}
	if err != nil {
		return "-ERR " + err.Error() + "\r\n"
	}
	return reply
}

// ends is when a session ends by EX or PX among the options; never, as good as, without.
func ends(options []string) time.Time {
	for i := 0; i+1 < len(options); i++ {
		n, _ := strconv.Atoi(options[i+1])
		switch strings.ToUpper(options[i]) {
		case "EX":
			return time.Now().Add(time.Duration(n) * time.Second)
		case "PX":
			return time.Now().Add(time.Duration(n) * time.Millisecond)
		}
	}
	return time.Now().AddDate(100, 0, 0)
}

// command reads an array of bulk strings, or words on a line.
func command(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if !strings.HasPrefix(line, "*") {
		if words := strings.Fields(line); len(words) > 0 {
			return words, nil
		}
		return nil, errors.New("an empty line")
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 1 || n > 64 {
		return nil, fmt.Errorf("array %q", line)
	}
	args := make([]string, n)
	for i := range args {
		head, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.Trim(head, "$\r\n"))
		if err != nil || size < 0 || size > 1<<16 {
			return nil, fmt.Errorf("bulk %q", head)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}
