/** Maps a million inputs to themselves and says how long it took; with a journal, the second run finds them all there. */
import { main, task } from 'shoal';

export const noop = task('million.noop', (value: number): number => value);

main(async ({ args }) => {
  const count = Number(args[0] ?? 1_000_000);
  const inputs = Array.from({ length: count }, (_, index) => index);
  const started = performance.now();
  const results = await noop.map(inputs).toArray();
  const seconds = (performance.now() - started) / 1000;
  if (results.length !== count || results.at(-1) !== count - 1) throw new Error('wrong results');
  console.log(JSON.stringify({ seconds, rate: count / seconds }));
});
