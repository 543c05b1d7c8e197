/**
 * A cluster over a message system, as whole processes: what may happen to any of them in the middle of a job, and the
 * exact answer each time. Workers know nothing of their coordinator but the broker.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from 'shoal';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import * as tasks from '../cluster/fixtures/tasks.ts';
import { type Running, TestCluster, tasksFile } from '../cluster/harness.ts';

/** What messages travel over: one server, or several that are one. */
export interface Carrying {
  readonly url: string;
  stop(): Promise<void>;
}

/** As `withServer` gives it. */
export interface MatrixServer extends Carrying {
  kill(): Promise<void>;
  shutdown(): Promise<void>;
  restart(options?: { keepData?: boolean }): Promise<void>;
  pause(): Promise<void>;
  resume(): void;
}

interface Hurt<Server> {
  what: string;
  /** It heals itself, or is healed within. */
  hurt: (server: Server) => Promise<void>;
}

export interface HurtOptions<Server extends Carrying> {
  start: () => Promise<Server>;
  /** What this kind of server has to survive beyond what all of them do. */
  hurts?: readonly Hurt<Server>[];
  /** Of one test; default 120 s. */
  timeoutMs?: number;
}

export interface MatrixOptions<Server extends MatrixServer> extends HurtOptions<Server> {
  /** Where workers dial, for what lies between them and the coordinator's own port. */
  reach?: (server: Server, coordinatorPort: number) => Promise<string>;
}

const outageMs = 10_000;
const timeoutMsDefault = 120_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Whole<Server> {
  readonly server: Server;
  readonly cluster: TestCluster;
  readonly client: Cluster;
  addWorker(): Running;
  /** Hurts when a quarter of the results is there and most are not; each index has to come once, with its own result. */
  survive(hurt: () => Promise<void>): Promise<void>;
}

/** Several servers that are one: what may befall one of them in the middle of a job. The rest is what any one of them survives. */
export function nodesMatrix<Server extends Carrying>(name: string, options: HurtOptions<Server>): void {
  const { hurts = [], timeoutMs = timeoutMsDefault } = options;
  describe(`a cluster over ${name}`, () => {
    const whole = processesOver(options);
    answers(whole, timeoutMs);
    for (const hurt of hurts) hurtBy(whole, hurt, timeoutMs);
  });
}

export function brokerMatrix<Server extends MatrixServer>(name: string, options: MatrixOptions<Server>): void {
  const { hurts = [], reach, timeoutMs = timeoutMsDefault } = options;
  describe(`a cluster over ${name}`, () => {
    const whole = processesOver(options);

    /** Status names the server, and that it does not answer. */
    const toldOf = (): Promise<void> =>
      expect
        .poll(async () => (await whole.cluster.shoal('status')).stdout, { timeout: timeoutMs / 2, interval: 500 })
        .toMatch(/broker +\w+:\/\/[^@]*\n.*the broker at .* does not answer/s);

    answers(whole, timeoutMs);

    test('carries programs of megabytes and results of megabytes, whatever a message may hold (N09)', { timeout: timeoutMs }, async () => {
      const file = join(whole.cluster.folder, 'large-program.ts');
      // Not repetitive, so that nothing along the way could make it small.
      const ballast = Buffer.from(Uint32Array.from({ length: 750_000 }, (_, i) => tasks.mixed(i % 1000) ^ Math.imul(i, 0x9e3779b1)).buffer);
      writeFileSync(
        file,
        `import { main, task } from 'shoal';
         const ballast = '${ballast.toString('base64')}';
         export const size = task('matrix.size', (times: number) => ballast.slice(0, 1000).repeat(times).length + ballast.length);
         main(async () => console.log(JSON.stringify(await size.map([0, 1, 2]).toArray())));`,
      );
      const { code, stdout, stderr } = await whole.cluster.shoal('submit', '--quiet', file);
      expect(stderr).toBe('');
      expect([code, JSON.parse(stdout)]).toEqual([0, [4_000_000, 4_001_000, 4_002_000]]);
      for await (const value of tasks.big.on(whole.client).map([9, 9].map((mebibytes) => ({ bytes: mebibytes * 2 ** 20 })))) {
        expect(value.length).toBe(9 * 2 ** 20);
      }
    });

    test('kill -9 of a worker’s process, and of another one’s supervisor (W01)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        process.kill(whole.cluster.childOf(whole.cluster.workers[0]!), 'SIGKILL');
        const [, second] = whole.cluster.workers;
        second!.kill('SIGKILL');
        whole.addWorker();
      });
    });

    test('kill -9 of the coordinator, and another one on its journal (C01, C03)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        whole.cluster.coordinator.kill('SIGKILL');
        await whole.cluster.coordinator.ended;
        await whole.cluster.startCoordinator();
      });
    });

    test('a restart of the server (N01)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        await whole.server.shutdown();
        await whole.server.restart();
      });
    });

    test('a server that was killed and is down for ten seconds (N01, N14)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        await whole.server.kill();
        await pause(outageMs);
        await whole.server.restart();
      });
    });

    test('a server that loses all it knew (N02)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        await whole.server.kill();
        await whole.server.restart({ keepData: false });
      });
    });

    test('a server that stands still for ten seconds, connected but silent (N01, N06)', { timeout: timeoutMs }, async () => {
      await whole.survive(async () => {
        await whole.server.pause();
        // That of the coordinator's own port is always there.
        const told = reach ? undefined : toldOf();
        await Promise.all([pause(outageMs), told]);
        whole.server.resume();
      });
    });

    for (const hurt of hurts) hurtBy(whole, hurt, timeoutMs);

    if (reach) return;

    test('a worker with another secret is not heard, and both sides say why', { timeout: timeoutMs }, async () => {
      const stranger = whole.cluster.run(['worker', '--name', 'stranger', '--tasks', tasksFile], {
        SHOAL_CLUSTER_SECRET: 'some other secret',
      });
      await Promise.all([
        stranger.said(/another process of this cluster does not hear this one: it has another cluster secret/),
        whole.cluster.coordinator.said(/refused (a message|\d+ messages) to hello: it was forged/),
      ]);
      stranger.kill('SIGKILL');
      // At its next tick.
      await expect
        .poll(async () => (await whole.cluster.shoal('status')).stdout, { timeout: timeoutMs / 2 })
        .toMatch(/refused: not signed with the secret of this cluster/);
      const { stdout } = await whole.cluster.shoal('workers', 'list', '--all', '--json');
      expect(stdout).not.toContain('stranger');
    });

    test('and after all that it works, and is what doctor finds nothing wrong with', { timeout: timeoutMs }, async () => {
      await whole.client.waitForWorkers(2);
      const { stdout } = await whole.cluster.shoal('doctor', '--json', '--broker', whole.server.url, '--cluster', 'matrix');
      const { checks } = JSON.parse(stdout) as { checks: { check: string; status: string; what: string }[] };
      const broker = checks.filter(({ check }) => check === 'broker' || check === 'cluster secret');
      expect(broker.filter(({ status }) => status === 'fail')).toEqual([]);
      expect(broker.map(({ what }) => what)).toContainEqual(expect.stringMatching(/a message went round/));
    });
  });
}

/** A coordinator, two workers and a client, for the tests of the suite that calls this. */
function processesOver<Server extends Carrying>(
  options: HurtOptions<Server> & { reach?: (server: Server, coordinatorPort: number) => Promise<string> },
): Whole<Server> {
  const { start, reach, timeoutMs = timeoutMsDefault } = options;
  let server: Server;
  let cluster: TestCluster;
  let client: Cluster;
  let address: string | undefined;

  const addWorker = (): Running =>
    cluster.addWorker({ args: ['--allow-bundles', '--tasks', tasksFile], ...(address !== undefined && { address }) });

  beforeAll(async () => {
    server = await start();
    vi.stubEnv('SHOAL_BROKER', server.url);
    vi.stubEnv('SHOAL_CLUSTER', 'matrix');
    vi.stubEnv('SHOAL_CLUSTER_SECRET', 'a secret of this cluster alone');
    cluster = await TestCluster.start({ workers: 0 });
    address = await reach?.(server, cluster.port);
    addWorker();
    addWorker();
    client = await cluster.ready(2);
  }, timeoutMs);
  afterAll(async () => {
    await cluster?.close();
    await server?.stop();
    vi.unstubAllEnvs();
  }, timeoutMs);

  const survive = async (hurt: () => Promise<void>): Promise<void> => {
    const count = 400;
    const inputs = Array.from({ length: count }, (_, value) => ({ ms: 10, value }));
    const results = new Map<number, unknown>();
    let isUnderWay: () => void = () => undefined;
    const underWay = new Promise<void>((resolve) => {
      isUnderWay = resolve;
    });
    const collect = async (): Promise<void> => {
      for await (const each of tasks.wait.on(client).map(inputs, { order: 'completion' }).settled()) {
        expect(results.has(each.index)).toBe(false);
        results.set(each.index, each.status === 'fulfilled' ? each.value : each.reason);
        if (results.size >= count / 4) isUnderWay();
      }
    };
    await Promise.all([collect(), underWay.then(hurt)]);
    expect(Array.from({ length: count }, (_, index) => results.get(index))).toEqual(inputs.map(({ value }) => value));
  };
  return {
    get server() {
      return server;
    },
    get cluster() {
      return cluster;
    },
    get client() {
      return client;
    },
    addWorker,
    survive,
  };
}

function answers<Server>(whole: Whole<Server>, timeoutMs: number): void {
  test('gives the answers of any other: a map, and a reduce of it', { timeout: timeoutMs }, async () => {
    const seeds = Array.from({ length: 20_000 }, (_, seed) => ({ seed, ms: 0 }));
    const expected = seeds.map(({ seed }) => tasks.mixed(seed));
    const mix = tasks.mix.on(whole.client);
    expect(await mix.map(seeds).toArray()).toEqual(expected);
    expect(await mix.map(seeds).reduce(tasks.sum.on(whole.client))).toBe(expected.reduce((total, value) => (total + value) >>> 0, 0));
  });
}

function hurtBy<Server>(whole: Whole<Server>, { what, hurt }: Hurt<Server>, timeoutMs: number): void {
  test(what, { timeout: timeoutMs }, async () => {
    await whole.survive(() => hurt(whole.server));
  });
}
