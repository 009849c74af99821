// Says that a new version or a retraction came while a list is open; the text comes from the archive and is set as text.
(() => {
  const stream = document.currentScript.dataset.stream;
  const line = document.getElementById("live");
  if (!line || !window.EventSource) return;
  const gone = document.getElementById("gone");
  let source = null;
  const linked = (told) => {
    const link = document.createElement("a");
    link.href = told.page;
    link.textContent = told.event;
    return link;
  };
  const came = (message) => {
    const told = JSON.parse(message.data);
    line.replaceChildren("New version: ", linked(told), ` (${told.kind})`);
    line.hidden = false;
  };
  // A retraction stays until the list is loaded again, whatever comes after it; once for each event.
  const retracted = new Set();
  const withdrawn = (message) => {
    const told = JSON.parse(message.data);
    if (retracted.has(told.event)) return;
    retracted.add(told.event);
    const said = document.createElement("p");
    said.className = "live gone";
    said.append("Retracted: ", linked(told));
    gone.prepend(said);
  };
  // A browser opens six connections to a site: pages in the background keep none.
  const follow = () => {
    source?.close();
    source = null;
    if (document.visibilityState !== "visible") return;
    source = new EventSource(stream);
    source.addEventListener("version", came);
    source.addEventListener("retraction", withdrawn);
  };
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", () => source?.close());
  follow();
})();
