/** Work for a cluster whose coordinators are hurt meanwhile: it always has some left, until the last blow has fallen. */
import type { Cluster } from 'shoal';
import * as tasks from '../cluster/fixtures/tasks.ts';

export interface Load {
  /** One more of its parts may be worked on: called once for each blow. */
  next(): void;
  /** In the order of inputs. */
  readonly results: Promise<number[]>;
  readonly expected: number[];
  /** How often a task was tried, at most. */
  attemptsMax: number;
}

/** `count` tasks in `blows + 1` parts. */
export function load(client: Cluster, { count, blows, taskMs = 0.05 }: { count: number; blows: number; taskMs?: number }): Load {
  const gates = Array.from({ length: blows }, () => gate());
  async function* inputs(): AsyncGenerator<{ seed: number; ms: number }> {
    for (let seed = 0; seed < count; seed++) {
      const part = Math.floor((seed * (blows + 1)) / count);
      if (part > 0) await gates[part - 1]!.isOpen;
      yield { seed, ms: taskMs };
    }
  }
  const job = tasks.mix.on(client).map(inputs());
  async function read(): Promise<number[]> {
    const values: number[] = [];
    for await (const each of job.settled()) {
      if (each.status !== 'fulfilled') throw new Error(`task ${each.index} is ${each.status}`);
      values.push(each.value);
      own.attemptsMax = Math.max(own.attemptsMax, each.attempts);
    }
    return values;
  }
  let opened = 0;
  const own: Load = {
    next: () => gates[opened++]!.open(),
    results: read(),
    expected: Array.from({ length: count }, (_, seed) => tasks.mixed(seed)),
    attemptsMax: 0,
  };
  return own;
}

function gate(): { open: () => void; isOpen: Promise<void> } {
  let open: () => void = () => undefined;
  const isOpen = new Promise<void>((resolve) => (open = resolve));
  return { open, isOpen };
}
