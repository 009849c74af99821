/* JS9 shows FITS files in the browser; it comes from LCO's server, in this order. */
"use strict";
(() => {
  const SERVER = "https://cdn.lco.global/js9/";
  const STYLES = ["js9support.css", "js9.css"];
  const SCRIPTS = ["js9prefs.js", "js9support.min.js", "js9.min.js", "js9plugins.js"];
  const buttons = document.querySelectorAll("button[onclick^='openJS9Window']");

  window.openJS9Window = (url) => {
    // Without limits, JS9 shows at most 2048 by 2048 pixels.
    window.JS9?.LoadWindow(url, {scaleclipping: "zscale", zoom: "toFit", image: {xdim: 0, ydim: 0}});
  };

  function missing() {
    for (const button of buttons) {
      button.disabled = true;
      button.after(mmaOutside.say("JS9 comes from LCO's server, which cannot be reached: download the file instead."));
    }
  }

  if (buttons.length === 0) return;
  STYLES.forEach((name) => mmaOutside.style(SERVER + name));
  SCRIPTS.reduce((before, name) => before.then(() => mmaOutside.script(SERVER + name)), Promise.resolve()).catch(missing);
})();
