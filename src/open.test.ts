/** One process that is all parties: what its parties hand to each other belongs to all of them from then on. */
import { expect, test, vi } from 'vitest';
import type { ByHand } from './brokers/broker.ts';
import { connect, dag, task } from './index.ts';

const seen = vi.hoisted((): { sent: object; asItWas: object }[] => []);

vi.mock('./brokers/memory.ts', async (original) => {
  const { memoryBroker } = await original<typeof import('./brokers/memory.ts')>();
  return {
    memoryBroker: (options: Parameters<typeof memoryBroker>[0]) => {
      const broker = memoryBroker(options);
      const { send, listen } = broker.byHand!;
      const byHand: ByHand = {
        listen,
        send(address, message, bytes) {
          seen.push({ sent: message, asItWas: structuredClone(message) });
          return send(address, message, bytes);
        },
      };
      return { ...broker, byHand };
    },
  };
});

const half = task('open.half', (n: number) => {
  if (n % 2 === 1) throw new RangeError(`${n} is odd`);
  return n / 2;
});
const third = task(
  'open.third',
  (n: number, { attempt }) => {
    if (attempt === 1) throw new Error('not yet');
    return n;
  },
  { retries: { retries: 1, delay: 1 } },
);
const words = task('open.words', (text: string) => text.split(' '));
const length = task('open.length', (text: string) => text.length);
const sum = task('open.sum', (parts: number[]) => parts.reduce((a, b) => a + b, 0));
const lengths = dag<string, number>('open.lengths', (g, input) => g.reduce(sum, g.map(length, g.call(words, input)), { fanIn: 2 }));
const forever = task('open.forever', (_: number, { signal }) => {
  return new Promise<number>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
});

test('no party changes a message that it has sent or got', async () => {
  await using cluster = await connect('inline:');
  const numbers = Array.from({ length: 500 }, (_, n) => n);
  const outcomes = half.on(cluster).map(numbers, { maxFailures: 500 }).settled();
  let fulfilled = 0;
  for await (const { status } of outcomes) if (status === 'fulfilled') fulfilled++;
  expect(fulfilled).toBe(250);
  expect(await third.on(cluster).map([1, 2, 3]).toArray()).toEqual([1, 2, 3]);
  expect(await lengths.on(cluster).run('a bb ccc dddd')).toBe(10);
  const stopped = forever.on(cluster).run(1, { signal: AbortSignal.timeout(20) });
  await expect(stopped).rejects.toThrow('timeout');
  expect(seen.length).toBeGreaterThan(20);
  for (const { sent, asItWas } of seen) expect(sent).toEqual(asItWas);
});
