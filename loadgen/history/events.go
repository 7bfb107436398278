package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxEvent bounds a line of events.jsonl. What a platform says goes in there:
// it must not be able to make a record that can't be read.
const maxEvent = 1 << 20

// maxEventText is what is kept of each text of an event that is too long.
const maxEventText = 4 << 10

// encodeEvent returns the event as one line.
func encodeEvent(e *Event) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if len(b) < maxEvent {
		return append(b, '\n'), nil
	}
	cut := Event{
		At:       e.At,
		NodeTime: shorten(e.NodeTime),
		Trial:    e.Trial,
		Kind:     shorten(e.Kind),
		Source:   shorten(e.Source),
		Subject:  shorten(e.Subject),
		Detail:   fmt.Sprintf("(cut: the event had %d bytes) %s", len(b), shorten(e.Detail)),
	}
	if b, err = json.Marshal(&cut); err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

func shorten(s string) string {
	if len(s) <= maxEventText {
		return s
	}
	return strings.ToValidUTF8(s[:maxEventText], "")
}

// readEvents returns the events by time, and whether the last line was torn.
func readEvents(dir string) (events []Event, torn bool, err error) {
	path := filepath.Join(dir, EventsFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, false, fmt.Errorf("open the run's events: %w; restore the file from a copy or run again", err)
	}
	defer f.Close()
	return decodeEvents(f, path)
}

func decodeEvents(r io.Reader, name string) (events []Event, torn bool, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	var off int64
	for n := 1; ; n++ {
		line, err := readLine(br)
		if errors.Is(err, io.EOF) {
			torn = len(line) > 0
			var e Event
			// All of it but the line feed may have arrived.
			if torn && decodeEvent(line, &e) == nil {
				events = append(events, e)
			}
			break
		}
		var e Event
		if err == nil {
			err = decodeEvent(line, &e)
		}
		if err != nil {
			return nil, false, &DamageError{name, off, fmt.Sprintf("line %d: %v", n, err)}
		}
		events = append(events, e)
		off += int64(len(line))
	}
	// Two goroutines may have stamped and written in different order.
	slices.SortStableFunc(events, func(a, b Event) int { return int(min(max(a.At-b.At, -1), 1)) })
	return events, torn, nil
}

func decodeEvent(line []byte, e *Event) error {
	if err := json.Unmarshal(line, e); err != nil {
		return fmt.Errorf("it is no event: %w", err)
	}
	return e.validate()
}

func (e *Event) validate() error {
	switch {
	case e.At < 0:
		return fmt.Errorf("event %q is %v before the run's epoch", shorten(e.Kind), -e.At)
	case e.Trial < 0 || e.Trial > maxTrials:
		return fmt.Errorf("event %q is of trial %d", shorten(e.Kind), e.Trial)
	}
	return nil
}

// readLine returns a line with its end, or what is left and io.EOF.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > maxEvent {
			return nil, fmt.Errorf("it has more than %d KiB", maxEvent>>10)
		}
		if err == nil && line == nil {
			return part, nil
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
