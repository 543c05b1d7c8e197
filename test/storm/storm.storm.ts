/**
 * Everything at once, with real processes: workers and coordinators that are killed, stopped and restarted, lines that are cut, silent
 * and slow, while jobs of all kinds run one after another. Each answer is exact (C01, C03, W01, W02, W10, N06, N11, A01), and once it
 * is quiet everything comes to its end. What strikes when is drawn from a seed; what is hit then, the machine decides.
 */
import { afterEach, expect, test } from 'vitest';
import { Dice } from '../../simulation/chance.ts';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { blows, living } from './blows.ts';
import { work } from './work.ts';

const minutes = Number(process.env.STORM_MINUTES ?? 5);
const seed = Number(process.env.STORM_SEED ?? 1 + Math.floor(Math.random() * 1e6));
/** After the storm. */
const quietMs = 120_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let cluster: TestCluster;
const roads: TcpProxy[] = [];
afterEach(async () => {
  await cluster?.close();
  for (const road of roads.splice(0)) await road.close();
});

test.each([
  ['one coordinator', {}],
  ['two coordinators, one of which leads', { coordinators: 2 }],
])(`%s, seed ${seed}`, { timeout: minutes * 60_000 + 3 * quietMs }, async (title, options) => {
  const dice = new Dice(seed, title);
  cluster = await TestCluster.start({ workers: 0, ...options });
  // Three ways to all coordinators.
  const ways: string[] = [];
  for (let i = 0; i < 3; i++) {
    const own = await Promise.all(cluster.coordinators.map((_, at) => TcpProxy.to(Number(new URL(cluster.addressOf(at)).port))));
    roads.push(...own);
    ways.push(own.map(({ address }) => address).join());
  }
  const hire = (): void => void cluster.addWorker({ threads: 2, address: dice.chance(0.6) ? dice.pick(ways) : cluster.address });
  for (let i = 0; i < 3; i++) hire();
  await cluster.ready(3);

  const endMs = performance.now() + minutes * 60_000;
  let isBroken = false;
  const isOver = (): boolean => isBroken || performance.now() >= endMs;
  const done = new Map<string, number>();
  const told = (kind: string): void => void done.set(kind, (done.get(kind) ?? 0) + 1);
  const working = Promise.all(
    [cluster.address, ways[0]!, ways[1]!].map(async (address, at) =>
      work(await cluster.connect(address), new Dice(seed, `${title} ${at}`), isOver, told),
    ),
  );
  working.catch(() => void (isBroken = true));

  const betweenMs = dice.between(500, 3_000);
  const struck = new Map<string, number>();
  const under = new Set<Promise<void>>();
  const taken = new Set<number>();
  while (!isOver()) {
    await pause(dice.exponential(betweenMs));
    if (living(cluster).length === 0) hire();
    const strike = dice.pick(blows);
    struck.set(strike.name, (struck.get(strike.name) ?? 0) + 1);
    const blow = strike({ cluster, roads, hire, taken }, dice).finally(() => under.delete(blow));
    under.add(blow);
  }
  await Promise.all(under);
  while (living(cluster).length < 2) hire();
  await working;
  process.stdout.write(`${title}: ${JSON.stringify(Object.fromEntries(done))} after ${JSON.stringify(Object.fromEntries(struck))}\n`);

  const open = await cluster.shoal('jobs', 'list', '--state', 'queued,running', '--json');
  expect(JSON.parse(open.stdout)).toMatchObject({ jobs: [] });
});
