/* Pictures of the sky: Aladin Lite, from CDS. On the page of a target the toolkit's finder chart, on the list its map of targets. */
"use strict";
(() => {
  const ALADIN = "https://aladin.cds.unistra.fr/AladinLite/api/v3/3.8.2/aladin.js";
  const place = document.getElementById("aladin-lite-div");
  const chart = document.currentScript.dataset.chart;
  if (!place) return;

  function missing() {
    place.replaceChildren(mmaOutside.say("No picture of the sky: it comes from CDS (Aladin Lite), which cannot be reached."));
    place.className = "";
    place.removeAttribute("style");
    place.removeAttribute("role");
    document.getElementById("chart-form-div")?.remove();
  }

  const plain = (text) => {
    const element = document.createElement("span");
    element.textContent = text;
    return element.innerHTML;
  };

  /* The targets of the page, or of the filter that was used before the picture came. */
  const listed = document.getElementById("mma-sky-targets");
  let targets = listed ? JSON.parse(listed.textContent) : [];
  if (listed) window.updateAladinTargets = (found) => { targets = found; };

  function body(name, shape, ra, dec, words) {
    const catalog = A.catalog({name, sourceSize: 30, shape: "circle", ...shape});
    catalog.addSources([A.marker(ra, dec, {popupTitle: `${name} (geocentric)`, popupDesc: words})]);
    return catalog;
  }

  function list() {
    const sky = A.aladin("#aladin-lite-div", {
      survey: "P/DSS2/color", fov: 360, projection: "MOL", showReticle: false, showCooGrid: true, showCooGridControl: true,
    });
    sky.setCooGrid({color: "grey", labelSize: 10});
    const catalog = A.catalog({name: "Targets", color: "blue", sourceSize: 16});
    sky.addCatalog(catalog);
    window.updateAladinTargets = (found) => {
      catalog.removeAll();
      catalog.addSources(found.map((one) =>
        A.marker(one.ra, one.dec, {popupTitle: plain(one.name), popupDesc: `RA: ${one.ra}<br>Dec: ${one.dec}`})));
    };
    window.updateAladinTargets(targets);
    const at = Object.fromEntries(Object.entries(place.dataset).map(([name, value]) => [name, Number(value)]));
    sky.addCatalog(body("Moon", {color: "gray"}, at.moonRa, at.moonDec, `Illumination: ${at.moonIllumination}`));
    sky.addCatalog(body("Sun", {color: "yellow"}, at.sunRa, at.sunDec, ""));
  }

  mmaOutside.script(ALADIN)
    .then(() => A.init)
    .then(() => (listed ? list() : mmaOutside.script(chart)))
    .catch(missing);
})();
