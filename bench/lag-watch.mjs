// @ts-check
/** Loaded into a coordinator: how long its event loop was ever blocked, and how much memory it had, written when it ends. */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const resolutionMs = 5;
const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
// Starting is not serving.
setTimeout(() => histogram.enable(), 500).unref();
process.on('exit', () => {
  const file = process.env.SHOAL_LAG_FILE;
  if (!file) return;
  const seen = { maxMs: histogram.max / 1e6 - resolutionMs, rssBytes: process.resourceUsage().maxRSS * 1024 };
  writeFileSync(file, JSON.stringify(seen));
});
