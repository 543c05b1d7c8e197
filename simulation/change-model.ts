/**
 * What the checker knows of what people change (I16): each change is stored at the version that it expects, of several that
 * expect the same one at most one is, each once however often it is said, and whoever is told of one is told what is stored.
 */
import type { FromClient, ToClient } from '../src/core/messages.ts';
import { reached } from './probes.ts';
import { check } from './violation.ts';

export type Asked = Extract<FromClient, { kind: 'cancel' | 'replay' | 'purge' | 'setQueue' }>;
type Told = Extract<ToClient, { kind: 'reply' | 'refusal' }>;

export class ChangeModel {
  private readonly versions = new Map<string, number>();
  /** The version by each change, as its client calls it. */
  private readonly made = new Map<string, number>();
  /** What clients expect, by the name of the change. */
  expected: ReadonlyMap<string, number> = new Map();

  versionOf(thing: string): number {
    return this.versions.get(thing) ?? 0;
  }

  /** Of all queues that were ever changed. */
  get queues(): string[] {
    return [...this.versions].flatMap(([thing, version]) => (thing.startsWith('queue ') ? [`${thing}=${version}`] : []));
  }

  /** A change is stored. */
  onMade(thing: string, change: string | undefined): void {
    const version = this.versionOf(thing);
    this.versions.set(thing, version + 1);
    if (change === undefined) return;
    check(!this.made.has(change), 'I16', () => `${change} of ${thing} is made twice`);
    this.made.set(change, version + 1);
    const expected = this.expected.get(change);
    if (expected === undefined) return;
    check(expected === version, 'I16', () => `${change} of ${thing} expects version ${expected}, and is made at ${version}`);
    reached('a change is made at the version that it expects');
  }

  /** `isAgain`: its answer was told before, and was lost. */
  onTold(asked: Asked, told: Told, isAgain: boolean): void {
    const { change = '', expectedVersion: expected } = asked;
    const made = this.made.get(change);
    const where = (): string => `${asked.kind} ${change}`;
    if (told.kind === 'refusal') {
      if (told.error.code !== 'SH1414') return;
      check(made === undefined, 'I16', () => `${where()} is said to be too late, and is stored at version ${made}`);
      const version = this.versionOf(thingOf(asked));
      check(version > expected!, 'I16', () => `${where()} is said to be too late for version ${expected}; stored is ${version}`);
      return reached('a change comes too late for the version that it expects');
    }
    const { version } = told.value as { version: number };
    if (made !== undefined) check(version === made, 'I16', () => `${where()} is said to be version ${version}, and is ${made}`);
    else if (expected !== undefined) check(version === expected, 'I16', () => `${where()} changes nothing, and is said to be ${version}`);
    if (isAgain && made !== undefined) reached('a change is said again, and answered as it was');
  }
}

function thingOf(asked: Asked): string {
  return asked.kind === 'setQueue' ? `queue ${asked.queue}` : asked.job;
}

export function isChange(message: { kind: string }): message is Asked {
  return message.kind === 'cancel' || message.kind === 'replay' || message.kind === 'purge' || message.kind === 'setQueue';
}
