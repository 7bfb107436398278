package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
)

// FieldError is a mistake in a scenario or topology file: where it stands and
// what is allowed there. Load returns all of a file's mistakes, joined.
type FieldError = strict.Error

// Load reads a scenario file and everything that it refers to.
func Load(path string) (*Spec, error) { return load(path, DefaultRules()) }

func load(path string, rules *Rules) (*Spec, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(err)
	}
	return decode(path, b, rules, func(ref string) ([]byte, error) {
		if !filepath.IsAbs(ref) {
			ref = filepath.Join(filepath.Dir(path), ref)
		}
		return os.ReadFile(ref)
	})
}

// Decode reads a scenario that refers to no other file; file is the name that
// errors give it.
func Decode(file string, data []byte) (*Spec, error) {
	return decode(file, data, DefaultRules(), func(string) ([]byte, error) {
		return nil, errors.New("no other file may be named here")
	})
}

func decode(file string, data []byte, rules *Rules, read func(string) ([]byte, error)) (*Spec, error) {
	s := Default()
	x, err := strict.Decode(file, data, s)
	if err != nil {
		return nil, err
	}
	if err := s.inlineTopology(file, x, read); err != nil {
		return nil, err
	}
	return s, s.validate(file, x, rules)
}

// isPath says whether a topology is named by its file.
func isPath(ref string) bool {
	return strings.ContainsRune(ref, '/') || strings.HasSuffix(ref, ".yaml") || strings.HasSuffix(ref, ".yml")
}

// inlineTopology replaces the path of a topology file by what it holds, so
// that the scenario as run stands alone.
func (s *Spec) inlineTopology(file string, x strict.Index, read func(string) ([]byte, error)) error {
	ref := s.Topology.Name
	if !isPath(ref) {
		return nil
	}
	b, err := read(ref)
	if err != nil {
		return strict.Errors{{File: file, Line: x.Line("topology"), Field: "topology", Msg: fmt.Sprintf("%s: %v", ref, fileError(err))}}
	}
	t, err := DecodeTopology(ref, b)
	if err != nil {
		return err
	}
	s.Topology = TopologyRef{Inline: t}
	return nil
}

// LoadTopology reads a topology file.
func LoadTopology(path string) (*fixtures.Topology, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(err)
	}
	return DecodeTopology(path, b)
}

// DecodeTopology reads a topology; file is the name that errors give it.
func DecodeTopology(file string, data []byte) (*fixtures.Topology, error) {
	t := &fixtures.Topology{}
	x, err := strict.Decode(file, data, t)
	if err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, strict.Errors{located(file, x, "", err)}
	}
	return t, nil
}

// IsTopology says whether a file looks like a topology rather than a scenario.
func IsTopology(data []byte) bool {
	var head struct {
		Regions []fixtures.Region `yaml:"regions"`
	}
	x, _ := strict.Decode("", data, &head)
	_, ok := x["regions"]
	return ok
}

// located turns an error that begins with its field, as fixtures.Topology
// writes them, into one that has the line as well.
func located(file string, x strict.Index, prefix string, err error) *strict.Error {
	field, msg, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsRune(field, ' ') {
		field, msg = "", err.Error()
	}
	if prefix != "" {
		field = strings.TrimSuffix(prefix+"."+field, ".")
	}
	return &strict.Error{File: file, Line: x.Line(field), Field: field, Msg: msg}
}

// fileError says what is wrong with a file without repeating its name.
func fileError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}
