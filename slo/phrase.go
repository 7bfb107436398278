package slo

import (
	"regexp"
	"strconv"
	"strings"
)

// phrases are what the faults of the catalogue are called in a sentence: "X cost
// 2.1 s of failover". In braces, a parameter of the fault's text.
var phrases = map[string]string{
	"all-regions-loss":  "losing every node and disk",
	"balancer-crash":    "the crash of the balancer of {region}",
	"bandwidth":         "a narrow link of {where}",
	"connection-resets": "connection resets at {where}",
	"cpu-squeeze":       "too little CPU for {node}",
	"disk-full":         "a full disk under {node}",
	"disk-readonly":     "a read-only disk under {node}",
	"dns-gone":          "DNS that does not answer {where}",
	"dns-slow":          "DNS that is slow for {where}",
	"dns-wrong":         "DNS that misleads {where}",
	"memory-squeeze":    "too little memory for {node}",
	"node-crash":        "the crash of {node}",
	"node-disconnect":   "unplugging {node}",
	"node-pause":        "the pause of {node}",
	"node-restart":      "the restart of {node}",
	"node-stop":         "stopping {node}",
	"one-way-partition": "a one-way cut of {region}",
	"overload":          "bulk work of others on {node}",
	"packet-delay":      "slow packets of {where}",
	"packet-loss":       "packet loss at {where}",
	"packet-reorder":    "packets of {where} out of order",
	"path-cut":          "the loss of the {path} path from {from} to {to}",
	"path-degrade":      "a bad {path} path from {from} to {to}",
	"power-loss":        "a power loss of {region}",
	"process-crash":     "the crash of the process of {node}",
	"provider-loss":     "losing the provider {provider}",
	"region-crash":      "the crash of {region}",
	"region-disconnect": "unplugging {region}",
	"region-loss":       "losing {region}",
	"region-partition":  "cutting off {region}",
	"two-region-loss":   "losing all regions but {survivor}",
}

// said is how values that are no names read in a sentence.
var said = map[string]string{"all": "all nodes"}

var (
	faultText   = regexp.MustCompile(`^([a-z-]+)(?:\((.*)\))?$`)
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
)

// Phrase is a fault's text, as "node-crash(node=us-east-1-1)", as a person would
// say it: "the crash of us-east-1-1". Text of a fault that is not in the
// catalogue, or that lacks what the phrase names, comes back as it is.
func Phrase(text string) string {
	m := faultText.FindStringSubmatch(text)
	if m == nil || phrases[m[1]] == "" {
		return text
	}
	params := map[string]string{}
	for kv := range strings.SplitSeq(m[2], ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(kv), "=")
		params[k] = v
	}
	whole := true
	out := placeholder.ReplaceAllStringFunc(phrases[m[1]], func(p string) string {
		v := params[strings.Trim(p, "{}")]
		whole = whole && v != ""
		if s, ok := said[v]; ok {
			if p == "{to}" {
				return "all others"
			}
			return s
		}
		return v
	})
	if !whole {
		return text
	}
	return out
}

// atMost is how many faults a sentence names.
const atMost = 3

// phraseOf names a trial's faults in one noun phrase.
func phraseOf(faults []*fault) string {
	var names []string
	for i, f := range faults {
		if i == atMost-1 && len(faults) > atMost {
			names = append(names, plural(strconv.Itoa(len(faults)-i), "more fault", "more faults"))
			break
		}
		names = append(names, Phrase(f.text))
	}
	return joinAnd(names)
}
