// Reads the values of a picture out: under the pointer, or step by step with a
// slider, which the keyboard and a screen reader know how to use.
for (const svg of document.querySelectorAll("svg.picture")) {
  const seen = new Set(), points = [];
  for (const title of svg.querySelectorAll("title")) {
    const spot = title.parentNode, text = title.textContent;
    if (spot === svg || seen.has(text)) continue;
    seen.add(text);
    points.push({ spot, text });
  }
  if (!points.length) continue;
  const reader = document.createElement("div"), slider = document.createElement("input"), shown = document.createElement("div");
  reader.className = "reader " + (svg.classList.contains("narrow") ? "narrow" : "wide");
  slider.type = "range";
  slider.min = 0;
  slider.max = points.length - 1;
  slider.value = 0;
  slider.setAttribute("aria-label", "Values of " + svg.querySelector("title").textContent);
  shown.className = "value";
  shown.textContent = "Point at the picture, or move the slider, to read its values.";
  let last;
  const show = (n) => {
    if (last) last.classList.remove("on");
    last = points[n].spot;
    last.classList.add("on");
    slider.value = n;
    slider.setAttribute("aria-valuetext", points[n].text);
    shown.textContent = points[n].text;
  };
  slider.setAttribute("aria-valuetext", points[0].text);
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.addEventListener("focus", () => show(Number(slider.value)));
  svg.addEventListener("pointerover", (e) => {
    const title = e.target.querySelector && e.target !== svg && e.target.querySelector(":scope > title");
    const n = title ? points.findIndex((p) => p.text === title.textContent) : -1;
    if (n >= 0) show(n);
  });
  reader.append(slider, shown);
  svg.after(reader);
}
