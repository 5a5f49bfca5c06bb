/* Draws plotly figures in JupyterLab, as an extension without a build.

   Plotly's own renderer writes a picture of every figure into the notebook as soon as it is shown, so that to
   look at a chapter would change its file. This one draws, and writes nothing. */

(function () {
  "use strict";

  const MIME_TYPE = "application/vnd.plotly.v1+json";
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  let shared = {};
  let plotly = null;

  function loadPlotly() {
    plotly = plotly || new Promise(function (resolve, reject) {
      const script = document.createElement("script");
      // plotly.js would hand itself to a loader of modules that is on the page
      const define = window.define;
      window.define = undefined;
      script.src = folder + "plotly.min.js";
      script.onload = function () { window.define = define; resolve(window.Plotly); };
      script.onerror = reject;
      document.head.append(script);
    });
    return plotly;
  }

  async function extension() {
    const versions = shared["@lumino/widgets"];
    const { Widget } = (await Object.values(versions)[0].get())();

    class Figure extends Widget {
      constructor() {
        super();
        this.addClass("jp-RenderedPlotly");
        this.drawn = false;
      }

      async renderModel(model) {
        // a copy: plotly changes what it draws, and the notebook keeps what it holds
        const { data, layout = {}, frames = [] } = structuredClone(model.data[MIME_TYPE]);
        const Plotly = await loadPlotly();
        const config = { responsive: true, displaylogo: false };
        await Plotly.newPlot(this.node, { data, layout: { height: 450, ...layout, autosize: true }, frames, config });
        this.drawn = true;
        if (layout.meta && layout.meta.alt) {
          this.node.setAttribute("role", "img");
          this.node.setAttribute("aria-label", layout.meta.alt);
        }
      }

      onAfterShow() { this.fit(); }
      onResize() { this.fit(); }
      fit() {
        if (this.drawn && this.isVisible) window.Plotly.Plots.resize(this.node);
      }
      dispose() {
        if (this.drawn) window.Plotly.purge(this.node);
        super.dispose();
      }
    }

    return {
      id: "simlib-figures:factory",
      rank: 2,
      dataType: "json",
      rendererFactory: { safe: true, mimeTypes: [MIME_TYPE], createRenderer: () => new Figure() },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["jupyterlab-plotly"] = {
    init: function (scope) { shared = scope; },
    get: async function () {
      const found = await extension();
      return () => ({ __esModule: true, default: found });
    },
  };
})();
