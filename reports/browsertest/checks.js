// Checks of a page for what a reader needs; each returns problems in words.
(() => {
  const name = (e) => {
    const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    if (by.length) return by.map((id) => (document.getElementById(id) || { textContent: "" }).textContent).join(" ").trim();
    return (e.getAttribute("aria-label") || e.getAttribute("alt") || "").trim() || (e.tagName === "IMG" ? "" : e.textContent.trim());
  };
  const where = (e) => {
    const text = (e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return e.tagName.toLowerCase() + (e.id ? "#" + e.id : e.getAttribute("class") ? "." + e.getAttribute("class").split(" ")[0] : "") + (text ? ' "' + text + '"' : "");
  };
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;

  // Structure that assistive technology relies on.
  const structure = () => {
    const bad = [];
    if (!document.documentElement.lang) bad.push("the page has no lang");
    if (!document.title) bad.push("the page has no title");
    const ids = {};
    for (const e of document.querySelectorAll("[id]")) ids[e.id] = (ids[e.id] || 0) + 1;
    for (const id in ids) if (ids[id] > 1) bad.push("the id " + id + " stands there " + ids[id] + " times");
    let last = 0;
    for (const h of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
      const level = Number(h.tagName[1]);
      if (level > last + 1) bad.push("heading " + where(h) + " skips a level after h" + last);
      if (!h.textContent.trim()) bad.push("heading " + where(h) + " is empty");
      last = level;
    }
    for (const [what, n] of [["main", 1], ["h1", 1], ["header", 1], ["footer", 1]]) {
      const found = document.querySelectorAll(what).length;
      if (found !== n) bad.push("there are " + found + " " + what);
    }
    for (const e of document.querySelectorAll("section, nav, article, [role=region]"))
      if (!e.getAttribute("aria-label") && !(e.getAttribute("aria-labelledby") && name(e))) bad.push("landmark " + where(e) + " has no name");
    for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) bad.push("image " + where(e) + " has no alt");
    for (const e of document.querySelectorAll("svg")) {
      if (e.getAttribute("aria-hidden") === "true") continue;
      if (e.getAttribute("role") !== "img") bad.push("svg " + where(e) + " is no img");
      const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean).map((id) => document.getElementById(id));
      if (!by.length || by.some((b) => !b || !b.textContent.trim())) bad.push("svg " + where(e) + " has no name");
      if (!e.querySelector(":scope > title") || !e.querySelector(":scope > desc")) bad.push("svg " + where(e) + " has no title and desc");
    }
    for (const t of document.querySelectorAll("table")) {
      if (!t.caption || !t.caption.textContent.trim()) bad.push("table " + where(t) + " has no caption");
      if (!t.querySelector("th")) bad.push("table " + where(t) + " has no headers");
      for (const th of t.querySelectorAll("th")) if (!th.scope) bad.push("header " + where(th) + " has no scope");
    }
    for (const e of document.querySelectorAll("a[href], button, summary, input, [tabindex]"))
      if (!name(e)) bad.push("control " + where(e) + " has no name");
    for (const a of document.querySelectorAll('a[href^="#"]'))
      if (!document.getElementById(a.getAttribute("href").slice(1))) bad.push("link " + where(a) + " leads nowhere");
    return bad;
  };

  // Contrast of text: WCAG 2.1, 1.4.3.
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = {};
  const colour = (css) => {
    if (!(css in colours)) {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = "rgba(0,0,0,0)";
      paint.fillStyle = css;
      paint.fillRect(0, 0, 1, 1);
      const d = paint.getImageData(0, 0, 1, 1).data;
      colours[css] = [d[0], d[1], d[2], d[3] / 255];
    }
    return colours[css];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4)));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const behind = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((under, c) => over(c, under), colour("Canvas"));
  };
  // What is drawn under a text of a picture, at its middle.
  const drawnBehind = (text, svg) => {
    const style = getComputedStyle(text);
    if (style.paintOrder.startsWith("stroke") && parseFloat(style.strokeWidth) >= 2) return over(colour(style.stroke), behind(svg.parentElement));
    const box = text.getBoundingClientRect(), p = svg.createSVGPoint();
    p.x = box.x + box.width / 2;
    p.y = box.y + box.height / 2;
    let under = behind(svg.parentElement);
    for (const s of svg.querySelectorAll("rect, path, polygon, circle")) {
      if (s.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_PRECEDING || s.classList.contains("spot")) continue;
      const st = getComputedStyle(s), c = colour(st.fill === "none" ? "transparent" : st.fill).slice();
      c[3] *= parseFloat(st.fillOpacity) * parseFloat(st.opacity);
      const m = s.getScreenCTM();
      if (c[3] > 0 && m && s.isPointInFill(p.matrixTransform(m.inverse()))) under = over(c, under);
    }
    return under;
  };
  const contrast = () => {
    const bad = [];
    let texts = 0;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let n = walk.nextNode(); n; n = walk.nextNode()) {
      const e = n.parentElement, svg = e.closest("svg");
      if (!n.textContent.trim() || e.closest("script, style, title, desc") || !seen(e) || e.closest(".skip:not(:focus)")) continue;
      texts++;
      const style = getComputedStyle(e), under = svg ? drawnBehind(e, svg) : behind(e);
      const front = over(colour(svg ? style.fill : style.color), under);
      const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const r = ratio(front, under);
      if (r < (large ? 3 : 4.5)) bad.push(where(e) + " has a contrast of " + r.toFixed(2));
    }
    if (texts < 50) bad.push("only " + texts + " texts were found");
    return bad;
  };

  // Nothing may stick out of the page; what is wide scrolls in a box of its own.
  const width = () => {
    const bad = [], wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > wide) bad.push("the page is " + document.documentElement.scrollWidth + " wide, the screen " + wide);
    for (const e of document.querySelectorAll("body *")) {
      if (e.closest("svg *") || !seen(e) || e.closest(".skip")) continue;
      let box = e.parentElement;
      while (box && !["auto", "scroll", "hidden"].includes(getComputedStyle(box).overflowX)) box = box.parentElement;
      const r = e.getBoundingClientRect();
      if (!box && r.right > wide + 1 && r.left >= 0) bad.push(where(e) + " ends at " + Math.round(r.right));
    }
    for (const c of document.querySelectorAll("caption")) {
      if (!seen(c)) continue;
      const range = document.createRange();
      range.selectNodeContents(c);
      if (range.getBoundingClientRect().right > wide) bad.push("the caption " + where(c) + " ends out of sight");
    }
    return bad.slice(0, 5);
  };

  // What has the focus, and whether it can be seen that it has.
  const focused = () => {
    const e = document.activeElement;
    if (!e || e === document.body) return { name: "", what: "", visible: false };
    const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    const outlined = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && ratio(over(colour(s.outlineColor), behind(e.parentElement)), behind(e.parentElement)) >= 3;
    return {
      name: name(e).replace(/\s+/g, " ").slice(0, 60), what: e.tagName.toLowerCase() + (e.type ? "." + e.type : ""),
      href: e.getAttribute("href") || "",
      visible: outlined && r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth,
    };
  };
  window.checks = { structure, contrast, width, focused };
})();
