/* What comes from another server is fetched behind the page: without it the page is complete, and says what is missing. */
"use strict";
window.mmaOutside = {
  /* Seconds after which what has not come is missing: a firewall may answer nothing at all. */
  patienceMs: 20000,

  script(address) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      const late = setTimeout(() => reject(new Error("late")), this.patienceMs);
      element.src = address;
      element.onload = () => { clearTimeout(late); resolve(); };
      element.onerror = () => { clearTimeout(late); reject(new Error("not there")); };
      document.head.append(element);
    });
  },

  style(address) {
    const element = document.createElement("link");
    element.rel = "stylesheet";
    element.href = address;
    document.head.append(element);
  },

  say(words) {
    const element = document.createElement("p");
    element.className = "mma-missing";
    element.setAttribute("role", "status");
    element.textContent = words;
    return element;
  },
};
