/**
 * A worker's protocol under test: time is a number, effects are collected as lines of text, and every line must
 * be looked at (`expectNothing` ends a test). Slots are played by the test.
 */
import { afterEach, expect } from 'vitest';
import type { AssignMessage, FromWorker, Ranges, ToWorker } from '../core/messages.ts';
import { countOf, indicesOf } from '../core/ranges.ts';
import type { Work } from './executors/executor.ts';
import { type ProtocolOptions, type WorkerEffect, WorkerProtocol } from './protocol.ts';

export function assignMessage(term: number, serial: number, ranges: number[], more: Partial<AssignMessage> = {}): AssignMessage {
  const columns = Uint32Array.from(ranges);
  const count = countOf(columns);
  return {
    kind: 'assign',
    term,
    serial,
    job: 'j1',
    jobName: 'test',
    stage: 0,
    definition: { name: 'double' },
    attempt: 1,
    attemptsMax: 1,
    alone: false,
    input: { kind: 'value' },
    ranges: columns,
    lengths: new Uint32Array(count).fill(1),
    body: [Uint8Array.from(indicesOf(columns))],
    ...more,
  };
}

/** Results of one byte a task, each as long as `durationUs`. */
export function resultsOf(ranges: ArrayLike<number>, durationUs = 1000) {
  const columns = Uint32Array.from(ranges);
  const count = countOf(columns);
  return {
    ranges: columns,
    lengths: new Uint32Array(count).fill(1),
    durations: new Uint32Array(count).fill(durationUs),
    body: Uint8Array.from(indicesOf(columns)),
  };
}

class ProtocolDouble {
  readonly protocol: WorkerProtocol;
  nowMs = 0;
  readonly works = new Map<number, { slot: number; work: Work }>();
  private lines: string[] = [];
  private incarnations = 0;

  constructor(options: Partial<ProtocolOptions> = {}) {
    this.protocol = new WorkerProtocol({
      worker: 'w1',
      slots: 2,
      labels: {},
      resources: {},
      queues: ['default'],
      host: 'here',
      pid: 1,
      life: 'l1',
      version: '0.0.0',
      code: { kind: 'any' },
      messageBytesMax: 1024 * 1024,
      hasAloneSlot: true,
      seed: 1,
      ...options,
    });
  }

  begin(): this {
    this.incarnations += 1;
    return this.do(() => this.protocol.begin(`i${this.incarnations}`, this.nowMs));
  }

  /** Greeted by the leader of term 1, with nothing left to look at. */
  welcomed(): this {
    this.begin().tell({ kind: 'welcome', term: 1, address: 'coordinator.1', leaseMs: 5000, beatMs: 1000 });
    this.lines = [];
    return this;
  }

  tell(...messages: ToWorker[]): this {
    return this.do(() => {
      for (const message of messages) this.protocol.onMessage(message, this.nowMs);
    });
  }

  /** Time passes, with a tick at its end. */
  pass(ms: number): this {
    this.nowMs += ms;
    return this.do(() => this.protocol.tick(this.nowMs));
  }

  done(id: number, ranges?: number[], durationUs?: number): this {
    const work = this.works.get(id)!.work;
    this.do(() => this.protocol.reports.onResults(id, resultsOf(ranges ?? work.ranges, durationUs), this.nowMs));
    return ranges ? this : this.finished(id);
  }

  finished(id: number): this {
    return this.do(() => this.protocol.onFinished(id, this.nowMs));
  }

  do(inputs: () => void): this {
    inputs();
    this.protocol.fill(this.nowMs);
    for (const effect of this.protocol.takeEffects()) {
      if (effect.effect === 'run') this.works.set(effect.work.id, effect);
      this.lines.push(line(effect));
    }
    return this;
  }

  /** What came out since the last look. */
  expect(...lines: string[]): this {
    expect(this.take()).toEqual(lines);
    return this;
  }

  take(): string[] {
    const lines = this.lines;
    this.lines = [];
    return lines;
  }
}

function line(effect: WorkerEffect): string {
  switch (effect.effect) {
    case 'send':
      return `→ ${effect.address}: ${said(effect.message)}`;
    case 'run':
      return `slot ${effect.slot}: run #${effect.work.id} ${effect.work.stage} ${show(effect.work.ranges)}`;
    case 'abort':
      return `slot ${effect.slot}: abort #${effect.work.id} ${show(effect.ranges)} (${effect.reason})`;
    case 'revoke':
      return `slot ${effect.slot}: revoke #${effect.work.id} ${show(effect.ranges)} (${effect.why})`;
    default:
      return effect.effect;
  }
}

/** `0-3 7` */
function show(ranges: Ranges | number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    parts.push(ranges[i + 1] === 1 ? `${ranges[i]}` : `${ranges[i]}-${ranges[i]! + ranges[i + 1]! - 1}`);
  }
  return parts.join(' ');
}

function said(message: FromWorker): string {
  switch (message.kind) {
    case 'hello':
      return `hello ${message.worker}.${message.incarnation} slots ${message.slots}`;
    case 'beat':
      return `beat ${message.number} last ${message.lastSerial} load ${message.load} held ${message.count}`;
    case 'held':
      return `held last ${message.lastSerial}${message.held.map(({ term, serial, ranges }) => `, ${term}/${serial} ${show(ranges)}`).join('')}`;
    case 'goodbye':
    case 'logs':
    case 'note':
    case 'died':
    case 'bundleWanted':
      return message.kind;
    case 'failed':
    case 'crashed':
      return `${message.number} ${message.kind} ${message.term}/${message.serial} ${message.index}${message.kind === 'failed' ? ` ${message.verdict}` : ''}`;
    case 'released':
    case 'refused':
      return `${message.number} ${message.kind} ${message.term}/${message.serial} ${show(message.ranges)} (${message.why})`;
    default:
      return `${message.number} ${message.kind} ${message.term}/${message.serial} ${show(message.ranges)} [${message.body.map(bytesOf).join('|')}]`;
  }
}

function bytesOf(bytes: Uint8Array): string {
  return bytes.length > 99 ? `${bytes.length} bytes` : [...bytes].join(' ');
}

let doubles: ProtocolDouble[] = [];
export function worker(...options: ConstructorParameters<typeof ProtocolDouble>): ProtocolDouble {
  const double = new ProtocolDouble(...options);
  doubles.push(double);
  return double;
}
/** Everything that came out was looked at. */
afterEach(() => {
  for (const double of doubles) double.expect();
  doubles = [];
});

export const welcome = (term: number) => ({ kind: 'welcome' as const, term, address: `coordinator.${term}`, leaseMs: 5000, beatMs: 1000 });
