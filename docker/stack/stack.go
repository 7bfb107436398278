// Package stack makes the parts of docker/ that follow from the topology: the
// nodes' configurations, the links between regions, HAProxy's servers and
// Prometheus' targets. Its tests hold the whole stack to what it says.
package stack

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference"
	"github.com/fivenines/fivenines/reference/target"
)

//go:generate go run ./cmd -write ..

// Where things are inside the containers.
const (
	Links      = "links" // the host that carries traffic between regions
	dataDir    = "/data"
	clientPort = 6379
	peerPort   = 7000
	adminPort  = 8080
)

//go:embed haproxy.cfg.tmpl
var haproxyTemplate string

// Proxy is one direction of one pair of nodes, as Toxiproxy's server reads it.
type Proxy struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
}

// Target is a group of addresses in Prometheus' file_sd format.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// linkPort tells from a port which two nodes it joins: 20104 is the first node's way to the fourth.
func linkPort(from, to fixtures.Node) int { return 20000 + 100*(from.Index+1) + to.Index + 1 }

func linkName(from, to fixtures.Node) string { return from.ID + "." + to.ID }

// Files are the contents of the generated files by their path below docker/.
func Files(t *fixtures.Topology) (map[string][]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("topology %s: %w", t.Name, err)
	}
	if n := len(t.Nodes()); n > 99 {
		return nil, fmt.Errorf("topology %s: %d nodes, the ports of links hold 99: use fewer", t.Name, n)
	}
	files := map[string][]byte{}
	put := func(name string, v any) error {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[name] = append(b, '\n')
		return nil
	}
	var links []Proxy
	var targets []Target
	for _, n := range t.Nodes() {
		c, err := nodeConfig(t, n)
		if err != nil {
			return nil, err
		}
		if err := put("nodes/"+n.ID+".json", c); err != nil {
			return nil, err
		}
		targets = append(targets, Target{[]string{fmt.Sprintf("%s:%d", n.ID, adminPort)}, map[string]string{"node": n.ID, "region": n.Region, "role": t.Region(n.Region).Role}})
		for _, o := range t.Nodes() {
			if o.Region != n.Region {
				links = append(links, Proxy{linkName(n, o), fmt.Sprintf("0.0.0.0:%d", linkPort(n, o)), fmt.Sprintf("%s:%d", o.ID, peerPort)})
			}
		}
	}
	if err := put("toxiproxy/links.json", links); err != nil {
		return nil, err
	}
	if err := put("prometheus/nodes.json", targets); err != nil {
		return nil, err
	}
	cfg, err := haproxy(t)
	if err != nil {
		return nil, err
	}
	files["haproxy/haproxy.cfg"] = cfg
	return files, nil
}

// nodeConfig asks the target, as a run does, so that both start the same nodes.
func nodeConfig(t *fixtures.Topology, n fixtures.Node) (*reference.Config, error) {
	dir, err := os.MkdirTemp("", "fivenines-stack")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	spec := fixtures.NodeSpec{ID: n.ID, Region: n.Region, Topology: t, Dir: dir, Peers: map[string]string{}, Admins: map[string]string{}, Seed: 1,
		Listen: map[fixtures.Port]string{
			fixtures.PortClient: fmt.Sprintf("0.0.0.0:%d", clientPort),
			fixtures.PortPeer:   fmt.Sprintf("0.0.0.0:%d", peerPort),
			fixtures.PortAdmin:  fmt.Sprintf("0.0.0.0:%d", adminPort),
		}}
	for _, o := range t.Nodes() {
		spec.Admins[o.ID] = fmt.Sprintf("%s:%d", o.ID, adminPort)
		switch {
		case o.ID == n.ID:
		case o.Region == n.Region:
			spec.Peers[o.ID] = fmt.Sprintf("%s:%d", o.ID, peerPort)
		default:
			spec.Peers[o.ID] = fmt.Sprintf("%s:%d", Links, linkPort(n, o))
		}
	}
	cmd, err := target.New("fivenines").Command(spec, fixtures.StartOptions{First: true})
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(cmd.Args[slices.Index(cmd.Args, "--config")+1])
	if err != nil {
		return nil, err
	}
	var c reference.Config
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.ID, err)
	}
	c.Dir = dataDir
	return &c, nil
}

func haproxy(t *fixtures.Topology) ([]byte, error) {
	type region struct {
		Name          string
		Port          int
		Nodes, Others []fixtures.Node
	}
	var regions []region
	for i, r := range t.Regions {
		x := region{Name: r.Name, Port: clientPort + i}
		for _, n := range t.Nodes() {
			if n.Region == r.Name {
				x.Nodes = append(x.Nodes, n)
			} else {
				x.Others = append(x.Others, n)
			}
		}
		regions = append(regions, x)
	}
	tmpl, err := template.New("haproxy.cfg").Parse(haproxyTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, map[string]any{"Regions": regions, "Client": clientPort, "Admin": adminPort})
	return b.Bytes(), err
}

// Write brings the generated files below dir (docker/) up to date.
func Write(dir string, t *fixtures.Topology) error {
	files, err := Files(t)
	if err != nil {
		return err
	}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Delay gives every link the delay of its path, through Toxiproxy's API.
// Half a round trip each way; jitter as the topology has it.
func Delay(api string, t *fixtures.Topology) error {
	c := toxiproxy.NewClient(api)
	nodes := t.Nodes()
	for _, n := range nodes {
		for _, o := range nodes {
			if n.Region == o.Region {
				continue
			}
			p, err := c.Proxy(linkName(n, o))
			if err != nil {
				return fmt.Errorf("link %s at %s: %w: is the stack up?", linkName(n, o), api, err)
			}
			path := t.Path(n.Region, o.Region)
			for _, stream := range []string{"upstream", "downstream"} {
				a := toxiproxy.Attributes{"latency": time.Duration(path.RTT).Milliseconds() / 2, "jitter": time.Duration(path.Jitter).Milliseconds() / 2}
				name := "delay-" + stream
				if slices.ContainsFunc(p.ActiveToxics, func(x toxiproxy.Toxic) bool { return x.Name == name }) {
					_, err = p.UpdateToxic(name, 1, a)
				} else {
					_, err = p.AddToxic(name, "latency", stream, 1, a)
				}
				if err != nil {
					return fmt.Errorf("link %s: %w", p.Name, err)
				}
			}
		}
	}
	return nil
}
