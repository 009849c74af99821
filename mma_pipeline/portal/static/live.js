// Says that a new version or a retraction came while a list is open; the text comes from the archive and is set as text.
(() => {
  const stream = document.currentScript.dataset.stream;
  const line = document.getElementById("live");
  if (!line || !window.EventSource) return;
  let source = null;
  const said = (what) => (message) => {
    const told = JSON.parse(message.data);
    const link = document.createElement("a");
    link.href = told.page;
    link.textContent = told.event;
    line.replaceChildren(`${what}: `, link, ` (${told.kind})`);
    line.hidden = false;
  };
  // A browser opens six connections to a site: pages in the background keep none.
  const follow = () => {
    source?.close();
    source = null;
    if (document.visibilityState !== "visible") return;
    source = new EventSource(stream);
    source.addEventListener("version", said("New version"));
    source.addEventListener("retraction", said("Retracted"));
  };
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", () => source?.close());
  follow();
})();
