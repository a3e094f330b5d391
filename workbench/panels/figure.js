// Plotly's own widget, which comes after this one is there, and once a page. anywidget gives a widget two seconds to come; Plotly is five megabytes, which a busy
// machine does not always read in that time, and then shows nothing for good.
const load = (model) => {
  const name = `workbench-plotly-${model.get("_version")}`;
  globalThis[name] ??= text(model).then(async (code) => {
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    try {
      return await import(url);
    } finally {
      URL.revokeObjectURL(url);
    }
  });
  return globalThis[name];
};

// It comes with the first figure of a kernel; a page that has never seen that one asks for it.
const text = (model) =>
  model.get("_bundle")
    ? Promise.resolve(model.get("_bundle"))
    : new Promise((resolve) => {
        const heard = (content, buffers) => {
          if (content.is === "plotly") {
            model.off("msg:custom", heard);
            resolve(new TextDecoder().decode(buffers[0]));
          }
        };
        model.on("msg:custom", heard);
        model.send({ wants: "plotly" });
      });

export default () => {
  let widget;
  return {
    initialize({ model }) {
      widget = load(model).then(async (plotly) => {
        const own = await plotly.default();
        await own.initialize({ model });
        return own;
      });
      widget.catch((fault) => console.error(fault));
    },
    async render({ model, el }) {
      return (await widget).render({ model, el });
    },
  };
};
