package browsertest

import (
	"context"
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

//go:embed checks.js
var checksJS string

// chromium is the browser to test with; a test without one is skipped, or fails in CI.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("FIVENINES_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	why := "there is no Chromium here; install Debian's package chromium, or set FIVENINES_CHROMIUM to one"
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// start starts a browser that ends with the test.
func start(t testing.TB) context.Context {
	t.Helper()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("hide-scrollbars", false))
	all, stop := context.WithTimeout(context.Background(), 8*time.Minute)
	alloc, cancel := chromedp.NewExecAllocator(all, opts...)
	ctx, _ := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits until the process is gone
			t.Logf("the browser did not end by itself: %v", err)
		}
		cancel()
		stop()
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")), "start %s", chromium(t))
	return ctx
}

// screen is what the page is shown on.
type screen struct {
	width, height int64
	dark, phone   bool
	paper         bool // as it is printed
}

var (
	desk  = screen{width: 1280, height: 900}
	night = screen{width: 1280, height: 900, dark: true}
	phone = screen{width: 390, height: 844, phone: true}
	sheet = screen{width: 718, height: 1047, paper: true} // A4 less margins of a centimetre
)

// tab is a page that was opened, and what it did meanwhile.
type tab struct {
	t   testing.TB
	ctx context.Context
	url string

	mu       sync.Mutex
	requests []string
	noise    []string // console errors and warnings, exceptions
}

// open writes a page to a file and opens it.
func open(t testing.TB, browser context.Context, html string, s screen) *tab {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, []byte(html), 0o600))
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, url: (&url.URL{Scheme: "file", Path: path}).String()}
	require.NoError(t, chromedp.Listen(ctx, p.heard))
	scheme, media := "light", ""
	if s.dark {
		scheme = "dark"
	}
	if s.paper {
		media = "print"
	}
	require.NoError(t, chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for _, enable := range []func() error{
			func() error { _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); return err },
			func() error { _, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{}); return err },
			func() error { _, err := cdp.Call(ctx, target, runtime.Enable, cdp.Empty{}); return err },
			func() error {
				_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				return err
			},
		} {
			if err := enable(); err != nil {
				return err
			}
		}
		return nil
	}), chromedp.EmulateViewport(s.width, s.height, func(d *emulation.SetDeviceMetricsOverrideParams, touch *emulation.SetTouchEmulationEnabledParams) {
		d.Mobile, touch.Enabled = s.phone, s.phone
		if s.phone {
			d.DeviceScaleFactor = 2
		}
	}), chromedp.Navigate(p.url)))
	return p
}

// heard takes down what the page asks for and complains about.
func (p *tab) heard(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if e.Request.URL != p.url && !strings.HasPrefix(e.Request.URL, "data:") {
			p.requests = append(p.requests, e.Request.URL)
		}
	case *runtime.EventConsoleAPICalled:
		p.noise = append(p.noise, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		p.noise = append(p.noise, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.noise = append(p.noise, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
	}
}

// quiet lists what the page fetched and complained about.
func (p *tab) quiet() []string {
	do[bool](p, `new Promise((done) => requestIdleCallback(() => done(true), { timeout: 2000 }))`)
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, r := range p.requests {
		out = append(out, "request of "+r)
	}
	return append(out, p.noise...)
}

func do[T any](p *tab, js string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, "%s", js)
	return v
}

// check runs one of the checks of checks.js.
func (p *tab) check(name string) []string {
	p.t.Helper()
	do[bool](p, checksJS+"; true")
	return do[[]string](p, "checks."+name+"()")
}

func (p *tab) press(keys string) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// openAll opens what is folded away.
func (p *tab) openAll() {
	p.t.Helper()
	do[bool](p, `document.querySelectorAll("details").forEach((d) => { d.open = true }); true`)
}

func (p *tab) pdf() []byte {
	p.t.Helper()
	yes := true
	b, err := chromedp.Run(p.ctx, chromedp.PrintToPDF(func(o *page.PrintToPDFParams) { o.PrintBackground = &yes }))
	require.NoError(p.t, err)
	return b
}

func (p *tab) screenshot() []byte {
	p.t.Helper()
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p.t, err)
	return b
}
