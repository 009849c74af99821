// Loads the page again when the event is archived, and when its page is made; in a tab that is looked at.
(() => {
  const shown = document.currentScript.dataset.shown;
  const look = async () => {
    if (document.visibilityState !== "visible") return;
    try {
      const answer = await fetch(location.href, {cache: "no-cache", redirect: "manual"});
      if (answer.type === "opaqueredirect" || (answer.status < 500 && String(answer.status) !== shown)) location.reload();
    } catch { /* offline: try again later */ }
  };
  setInterval(look, 5000);
  document.addEventListener("visibilitychange", look);
})();
