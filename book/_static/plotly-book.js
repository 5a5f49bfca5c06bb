// Draws the plotly figures of a page. Each figure's JSON lies in the page, plotly.js beside the pages.
(function () {
  "use strict";

  const config = {
    displaylogo: false,
    responsive: false, // the observer below also sees figures that become visible
    showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const narrow = 560;

  function color(name, fallback) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
  }

  // What the book's theme decides. It goes into the figure's template, so that whatever the author
  // of a figure set explicitly wins.
  function themed(template, titled, width) {
    const text = color("--pst-color-text-base", "#222");
    const line = color("--pst-color-border", "#ccc");
    const surface = color("--pst-color-surface", "#fff");
    const font = getComputedStyle(document.body).fontFamily;
    const result = structuredClone(template || {});
    const layout = (result.layout = result.layout || {});
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: Object.assign({}, layout.font, { color: text, family: font }),
      hoverlabel: { bgcolor: surface, bordercolor: line, font: { color: text, family: font } },
      margin: { l: 56, r: 24, t: titled ? 56 : 28, b: 52 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: text },
    });
    for (const axis of ["xaxis", "yaxis"]) {
      layout[axis] = Object.assign({}, layout[axis], {
        gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line, automargin: true,
      });
    }
    // intervals are what a reader came for: they stand out on any ground
    result.data = Object.assign({}, result.data);
    for (const kind of ["bar", "scatter"]) {
      const error = { color: text, thickness: 1.4 };
      result.data[kind] = [Object.assign({}, (result.data[kind] || [{}])[0], { error_x: error, error_y: error })];
    }
    layout.sliderdefaults = Object.assign({}, layout.sliderdefaults, {
      bgcolor: line, bordercolor: line, activebgcolor: text, tickcolor: line, font: { color: text },
    });
    layout.updatemenudefaults = Object.assign({}, layout.updatemenudefaults, {
      bgcolor: surface, bordercolor: line, font: { color: text },
    });
    layout.legend = Object.assign({}, layout.legend, {
      orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
    });
    if (width < narrow) {
      // the legend's lines would lie over the curves; a drag must scroll the page
      Object.assign(layout.legend, { yref: "container", y: 0.01, yanchor: "bottom" });
      layout.dragmode = false;
    }
    return result;
  }

  // A figure of pictures says how tall it is for its width; others are as tall as their layout says.
  function heightOf(layout, width) {
    const meta = layout.meta || {};
    if (meta.height_per_width) return Math.round(width * meta.height_per_width + (meta.height_fixed || 0));
    return layout.height || Math.min(450, Math.max(320, width * 0.75));
  }

  // Lines under pictures that stand side by side must not run into each other.
  function fitCaptions(layout, width) {
    if (!layout.meta || !layout.meta.height_per_width) return;
    const axes = Object.keys(layout).filter((key) => /^xaxis/.test(key)).map((key) => layout[key]);
    const columns = new Set(axes.map((axis) => (axis.domain || [0])[0].toFixed(3))).size;
    for (const axis of axes) {
      if (axis.title && axis.title.font) axis.title.font.size = Math.max(7, Math.min(12, width / columns / 11));
    }
  }

  // Which row of pictures each axis and each title belongs to; null for other figures.
  function rowsOf(layout) {
    const gap = layout.meta && layout.meta.row_gap;
    const axes = Object.keys(layout).filter((key) => /^yaxis/.test(key) && layout[key].domain);
    const end = (number) => number.toFixed(4);
    const ends = [...new Set(axes.map((axis) => end(layout[axis].domain[1])))].sort().reverse();
    if (!gap || ends.length < 2) return null;
    const row = (number) => ends.indexOf(end(number));
    const titles = layout.annotations || [];
    return {
      count: ends.length, gap, margins: layout.margin.t + layout.margin.b,
      axes: axes.map((axis) => [axis, row(layout[axis].domain[1])]),
      titles: titles.map((title, index) => [index, row(title.y)]).filter((entry) => entry[1] >= 0),
    };
  }

  // Rows of pictures shrink with the page, the lines of text between them do not.
  function placed(rows, height) {
    if (!rows) return {};
    const share = rows.gap / (height - rows.margins);
    const size = (1 - share * (rows.count - 1)) / rows.count;
    const top = (row) => 1 - row * (size + share);
    const changes = {};
    for (const [axis, row] of rows.axes) changes[axis + ".domain"] = [Math.max(0, top(row) - size), top(row)];
    for (const [index, row] of rows.titles) changes["annotations[" + index + "].y"] = top(row);
    return changes;
  }

  function draw(figure) {
    if (figure.dataset.state) return Promise.resolve();
    figure.dataset.state = "drawing";
    const source = figure.querySelector("script.plotly-json");
    const { data, layout = {}, frames = [] } = JSON.parse(source.textContent);
    // A band is an area; left to itself, plotly marks the corners of one with few points.
    for (const trace of data) if (trace.fill === "toself" && !trace.mode) trace.mode = "lines";
    const canvas = document.createElement("div");
    canvas.className = "plotly-canvas";
    if (layout.width) {
      canvas.style.maxWidth = layout.width + "px";
      delete layout.width;
    }
    figure.append(canvas);
    const width = figure.clientWidth;
    figure.bookTemplate = layout.template;
    figure.bookTitled = Boolean(layout.title && (layout.title.text || typeof layout.title === "string"));
    layout.template = themed(layout.template, figure.bookTitled, width);
    layout.autosize = true;
    layout.height = heightOf(layout, width);
    fitCaptions(layout, width);
    figure.style.minHeight = layout.height + "px";
    figure.bookRows = rowsOf(layout);
    return Plotly.newPlot(canvas, { data, layout, frames, config }).then(function () {
      return Plotly.relayout(canvas, placed(figure.bookRows, layout.height));
    }).then(function () {
      figure.dataset.state = "drawn";
      figure.bookWidth = figure.clientWidth;
      resizes.observe(figure);
    });
  }

  function restyle(figure) {
    const canvas = figure.querySelector(".plotly-canvas");
    if (figure.dataset.state === "drawn") {
      Plotly.relayout(canvas, { template: themed(figure.bookTemplate, figure.bookTitled, figure.clientWidth) });
    }
  }

  const resizes = new ResizeObserver(function (entries) {
    for (const entry of entries) {
      const figure = entry.target;
      const width = figure.clientWidth;
      if (!width || width === figure.bookWidth) continue;
      const crossed = (width < narrow) !== (figure.bookWidth < narrow);
      figure.bookWidth = width;
      const canvas = figure.querySelector(".plotly-canvas");
      const height = heightOf(canvas.layout, width);
      Plotly.relayout(canvas, { height, autosize: true, ...placed(figure.bookRows, height) });
      figure.style.minHeight = canvas.layout.height + "px";
      if (crossed) restyle(figure);
    }
  });

  const figures = Array.from(document.querySelectorAll(".plotly-figure"));

  // Those in view first, those in closed boxes when they open, the others while the reader reads.
  const views = new IntersectionObserver(function (entries) {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        views.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "400px" });
  figures.forEach((figure) => views.observe(figure));

  const later = window.requestIdleCallback || ((task) => setTimeout(task, 100));
  const waiting = figures.slice();
  function drawNext() {
    const figure = waiting.shift();
    if (!figure) return;
    const drawn = figure.clientWidth ? draw(figure) : Promise.resolve();
    drawn.then(() => later(drawNext));
  }
  later(drawNext);

  new MutationObserver(function () {
    figures.forEach(restyle);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

  window.addEventListener("beforeprint", function () {
    figures.filter((figure) => figure.clientWidth).forEach(draw);
  });
})();
