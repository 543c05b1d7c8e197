// @ts-check
/** https://github.com/piscinajs/piscina, version 5. */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { lanes } from '../lanes.mjs';

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads, settings }) {
  const concurrency = Number(settings.concurrency ?? 1);
  const pool = new Piscina({
    filename: fileURLToPath(new URL('../works.mjs', import.meta.url)),
    name: work,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: concurrency,
    atomics: /** @type {'sync' | 'async' | 'disabled'} */ (settings.atomics ?? 'sync'),
    recordTiming: false,
  });
  await Promise.all(Array.from({ length: threads }, () => pool.run(1)));
  return {
    map: (inputs) => lanes(inputs, Number(settings.inFlight ?? 4 * threads * concurrency), (input) => pool.run(input)),
    run: (input) => pool.run(input),
    close: () => pool.destroy(),
  };
}
