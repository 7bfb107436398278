package gateway

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew; read the diff")

// own are the answers that are not Redis's to tell.
const own = `
HELLO
HELLO 2
HELLO 3
HELLO 2 AUTH default any SETNAME me
CLIENT GETNAME

CLIENT ID
CLIENT INFO
CLIENT SETINFO LIB-NAME x
CLIENT SETINFO LIB-NAME
CLIENT NO-TOUCH on
COMMAND INFO get SET nosuch mget
COMMAND DOCS get
COMMAND COUNT
CONFIG GET save appendonly
CLUSTER MYID
CLUSTER INFO
CLUSTER KEYSLOT session:{7}
CLUSTER SLOTS
CLUSTER NODES
SELECT 1
INFO
DBSIZE
READONLY
GET {k}
READWRITE
EXPIRE {k} 10 NX
!70000 SET {k}
!70000 GET
QUIT
`

// Every command in both protocol versions, on a machine without Redis too:
// testdata/answers.txt was compared with a real one by TestSameAnswersAsRedis.
func TestAnswers(t *testing.T) {
	var out strings.Builder
	asked := map[string]bool{}
	for _, proto := range []string{"2", "3"} {
		d := serve(t)
		d.node.frozen.Store(true)
		_, port, err := net.SplitHostPort(d.addr)
		require.NoError(t, err)
		fmt.Fprintf(&out, "# RESP%s\n", proto)
		for i, block := range strings.Split(strings.TrimSpace(script+own), "\n\n") {
			c := dialRaw(t, d.addr)
			c.cmd("HELLO", proto)
			c.reply()
			for line := range strings.Lines(block) {
				line = strings.TrimSpace(line)
				args := fields(t, line, fmt.Sprint("k", i))
				c.cmd(args...)
				asked[strings.ToUpper(args[0])] = true
				answer := fmt.Sprintf("%q", c.reply())
				// Ports and connection numbers are another each time.
				answer = strings.ReplaceAll(answer, port, "PORT")
				answer = regexp.MustCompile(` addr=127\.0\.0\.1:\d+`).ReplaceAllString(answer, " addr=PEER")
				answer = regexp.MustCompile(`(\$2\\r\\nid\\r\\n:)\d+|id=\d+`).ReplaceAllString(answer, "${1}ID")
				if line == "CLIENT ID" {
					answer = "a number"
				}
				if len(answer) > 2000 {
					answer = answer[:2000] + "..."
				}
				fmt.Fprintf(&out, "%s\n\t%s\n", line, answer)
			}
			out.WriteString("\n")
		}
		d.stop()
	}
	for _, name := range Commands() {
		require.True(t, asked[name], "no test asks for %s", name)
	}
	file := filepath.Join("testdata", "answers.txt")
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run with -rewrite")
	require.Equal(t, string(want), out.String())
}
