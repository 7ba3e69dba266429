// Starts the page.

async function main() {
  const meta = JSON.parse(byId('meta').textContent), packed = byId('packed').textContent;
  const app = makeApp(meta, columnsOf(meta.layout, await inflate(bytesOf(packed))));
  app.resize();
  showLegend(app);
  listen(app);
  cancelAnimationFrame(app.frame);
  app.frame = 0;
  draw(app);
  const firstDrawn = performance.now();
  showMoment(app, app.store.end * .004);
  const wanted = /^#violation-(\d+)$/.exec(location.hash);
  if (wanted) nextViolation(Object.assign(app, { proof: { number: +wanted[1] - 2, rows: [] } }));
  document.body.dataset.ready = 'yes';
  if (location.hash === '#selftest') await selfTest(app, packed, firstDrawn);
}

main().catch((error) => {
  const broken = byId('broken');
  broken.textContent = `The timeline could not be drawn: ${error.message}. The verdict above does not depend on it.`;
  broken.hidden = false;
});
