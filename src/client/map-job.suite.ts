/** Maps on a scripted coordinator: tasks, inputs, and the cluster that each test finds new. */
import { afterEach, beforeEach } from 'vitest';
import { ClusterHandle } from './cluster.ts';
import { installOpener } from './opener.ts';
import { ScriptedCoordinator } from './scripted-coordinator.double.ts';
import { task } from './task.ts';
import type { Cluster, Task } from './types.ts';

export let coordinator: ScriptedCoordinator;
let cluster: Cluster;

beforeEach(() => {
  coordinator = new ScriptedCoordinator();
  installOpener(coordinator.open);
  cluster = new ClusterHandle('scripted:', {});
});

afterEach(async () => {
  await cluster.close();
  installOpener(undefined);
});

export const square = task('map.square', (n: number) => n * n);
export const sum = task('map.sum', (ns: number[]) => ns.reduce((a, b) => a + b, 0));
export const odd = task('map.odd', (n: number) => {
  if (n % 2 === 0) throw new RangeError(`${n} is even`);
  return n;
});

export function on<I, O>(definition: Task<I, O>): Task<I, O> {
  return definition.on(cluster);
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

export function* numbers(count: number, closed: () => void = () => undefined): Generator<number> {
  try {
    for (let n = 0; n < count; n++) yield n;
  } finally {
    closed();
  }
}

export async function* slowly(count: number, closed: () => void = () => undefined): AsyncGenerator<number> {
  yield* numbers(count, closed);
}
