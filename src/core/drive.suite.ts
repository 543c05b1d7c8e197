/**
 * Drives the core by hand in tests: collects what it does, checks every invariant after every turn, and folds
 * the journal anew to compare (I8). Time stands still unless told. Workers are scripted, or run by `work`.
 */

import type { JobView } from './answers.ts';
import { applyJobFact, applyRegistryFact } from './fold.ts';
import { Given, type GivenColumns } from './given.ts';
import type { Input } from './inputs.ts';
import { checkInvariants } from './invariants.ts';
import { leaseMs, type SomeBounds } from './limits.ts';
import type { AssignMessage, DeliverMessage, FromClient, FromWorker, NumberedMessage, ToClient, WorkerCode } from './messages.ts';
import type { Dealing } from './policies.ts';
import { indicesOf } from './ranges.ts';
import { goOn, startAt } from './roll.ts';
import type { JobSpec, StageSpec } from './spec.ts';
import type { State } from './state.ts';
import { createState, jobStream } from './state.ts';
import { endTurn, step } from './step.ts';
import type { Draft, Effect, Slice } from './turn.ts';
import { advanceStreams, Turn } from './turn.ts';

export interface Stored {
  seq: number;
  facts: Draft['facts'];
  body: Uint8Array;
}

type Distribute<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
export type Report = Distribute<NumberedMessage, 'worker' | 'incarnation' | 'number' | 'term'>;

export interface Assigned extends AssignMessage {
  worker: string;
  /** Frames as text, in order. */
  frames: string[];
}

export interface Delivered extends DeliverMessage {
  /** Values of fulfilled tasks as text, in order. */
  values: string[];
}

/** Soon, so that whatever is tested is tested on registries that have rolled, and without workers that are forgotten. */
const bounds = { rollFactsMin: 16, goneMs: 60_000 };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function cut(bytes: Uint8Array, lengths: Uint32Array): string[] {
  let at = 0;
  return [...lengths].map((length) => decoder.decode(bytes.subarray(at, (at += length))));
}

export function pack(texts: readonly string[]): { lengths: Uint32Array; body: Uint8Array[] } {
  const parts = texts.map((text) => encoder.encode(text));
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return { lengths: Uint32Array.from(parts, (part) => part.length), body: [body] };
}

export class Driver {
  state: State;
  nowMs = 1_000;
  wallMs = 1_700_000_000_000;
  journal = new Map<string, Stored[]>();
  assigned: Assigned[] = [];
  told: { session: string; message: ToClient }[] = [];
  warned: string[] = [];
  delivered: Delivered[] = [];
  sent: { address: string; message: Extract<Effect, { effect: 'send' }>['message'] }[] = [];
  dropped: string[] = [];
  /** Of the registry. */
  rolls = 0;
  bundles: { address: string; hash: string; text: string }[] = [];
  private ids = 0;
  private requests = 0;
  private readonly numbers = new Map<string, number>();
  private seed = 1;
  private readonly carried = new Map<string, Draft>();

  private readonly isOneMachine: boolean;
  private readonly bounds: SomeBounds;

  constructor(term = 1, isOneMachine = true, own: SomeBounds = {}, dealing: Dealing = {}) {
    this.isOneMachine = isOneMachine;
    this.bounds = { ...bounds, ...own };
    this.state = createState({ writer: `writer-${term}`, registryStream: 'registry', isOneMachine, bounds: this.bounds, dealing });
    this.turn([{ from: 'self', event: 'tookOver', term }]);
  }

  turn(inputs: Input[]): void {
    const turn = new Turn({ nowMs: this.nowMs, wallMs: this.wallMs, seed: this.seed++ }, this.carried);
    for (const input of inputs) step(this.state, input, turn);
    endTurn(this.state, turn);
    if (turn.roll) {
      const parts = turn.roll.parts.map((facts, seq) => ({ seq, facts: structuredClone(facts) as Draft['facts'], body: new Uint8Array() }));
      this.journal.set(turn.roll.stream, parts);
      this.rolls++;
    }
    for (const { stream, seq, facts, body } of turn.drafts.values()) {
      const entries = this.journal.get(stream) ?? [];
      if (entries.length !== seq) throw new Error(`${stream}: entry ${seq} after ${entries.length}`);
      const joined = new Uint8Array(body.reduce((sum, chunk) => sum + chunk.length, 0));
      let at = 0;
      for (const chunk of body) {
        joined.set(chunk, at);
        at += chunk.length;
      }
      entries.push({ seq, facts: structuredClone(facts), body: joined });
      this.journal.set(stream, entries);
    }
    advanceStreams(this.state, turn.drafts.values());
    turn.drafts.clear();
    for (const effect of turn.effects) this.carryOut(effect);
    checkInvariants(this.state);
    this.compareWithJournal();
  }

  private carryOut(effect: Effect): void {
    switch (effect.effect) {
      case 'send':
        this.sent.push(effect);
        return;
      case 'assign': {
        const body = this.bytes(effect.stream, effect.slices);
        const frames = cut(body, Uint32Array.of(...effect.message.lengths, ...(effect.message.sharedLengths ?? [])));
        this.assigned.push({ ...effect.message, body: [body], worker: effect.address.split('.')[1]!, frames });
        return;
      }
      case 'sendBundle': {
        const text = decoder.decode(this.bytes(effect.stream, effect.slices));
        this.bundles.push({ address: effect.address, hash: effect.message.hash, text });
        return;
      }
      case 'tell':
        this.told.push(effect);
        return;
      case 'deliver': {
        const body = this.bytes(effect.stream, effect.slices);
        this.delivered.push({ ...effect.message, body: [body], values: cut(body, effect.message.lengths) });
        return;
      }
      case 'dropStream':
        this.dropped.push(effect.stream);
        this.journal.delete(effect.stream);
        return;
      case 'logs':
        return;
      case 'warn':
        this.warned.push(effect.line);
        return;
    }
  }

  private bytes(stream: string, slices: readonly Slice[]): Uint8Array {
    const parts = slices.map(({ seq, offset, length }) => this.journal.get(stream)![seq]!.body.subarray(offset, offset + length));
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  // ---- clients ----

  client(message: FromClient, session = 'client'): void {
    this.turn([{ from: 'client', session, message, newId: `job${String(++this.ids).padStart(6, '0')}` }]);
  }

  submit(spec: JobSpec, inputs: readonly string[] | undefined, seal = true): string {
    this.client({ kind: 'submit', request: ++this.requests, spec, digest: 'digest' });
    const reply = this.told.at(-1)!.message as Extract<ToClient, { kind: 'reply' }>;
    const { job } = reply.value as { job: string };
    if (inputs) {
      if (inputs.length > 0) this.client({ kind: 'inputs', job, stage: 0, from: 0, ...pack(inputs) });
      if (seal) this.client({ kind: 'seal', job, stage: 0, total: inputs.length });
    }
    return job;
  }

  ask<T>(message: Record<string, unknown>): T {
    this.client({ ...message, request: ++this.requests } as FromClient);
    const answer = this.told.findLast(({ message: told }) => 'request' in told && told.request === this.requests)!.message;
    if (answer.kind === 'refusal') throw Object.assign(new Error(answer.error.message), answer.error);
    return (answer as Extract<ToClient, { kind: 'reply' }>).value as T;
  }

  view(job: string): JobView {
    return this.ask<JobView>({ kind: 'query', job });
  }

  read(job: string, options: { order?: 'input' | 'completion'; credit?: number; inputs?: boolean } = {}): string[] {
    const reader = ++this.requests;
    this.client({
      kind: 'read',
      reader,
      job,
      order: options.order ?? 'input',
      credit: options.credit ?? 1e6,
      inputs: options.inputs ?? false,
    });
    return this.delivered.filter((delivery) => delivery.reader === reader).flatMap((delivery) => delivery.values);
  }

  /** As the client of a reader would say it that goes on after a break. */
  given(reader: number): GivenColumns {
    const given = new Given();
    for (const delivery of this.delivered) if (delivery.reader === reader) given.add(delivery);
    return given.columns();
  }

  // ---- workers ----

  worker(message: Distribute<FromWorker, 'worker' | 'incarnation'>, name = 'w1', incarnation = 'i1'): void {
    this.turn([{ from: 'worker', message: { ...message, worker: name, incarnation } as FromWorker }]);
  }

  hello(
    name = 'w1',
    options: {
      slots?: number;
      incarnation?: string;
      queues?: string[];
      resources?: Record<string, number>;
      code?: WorkerCode;
      welcomed?: number;
      life?: string;
    } = {},
  ): void {
    const incarnation = options.incarnation ?? 'i1';
    this.numbers.delete(`${name}/${incarnation}`);
    this.worker(
      {
        kind: 'hello',
        address: `worker.${name}.${incarnation}`,
        slots: options.slots ?? 2,
        labels: {},
        resources: options.resources ?? { cpu: 2, memory: 1e9 },
        queues: options.queues ?? ['default'],
        host: 'here',
        pid: 1,
        version: '0.0.0',
        code: options.code ?? { kind: 'any' },
        ...(options.welcomed !== undefined && { welcomed: options.welcomed }),
        ...(options.life !== undefined && { life: options.life }),
      },
      name,
      incarnation,
    );
  }

  report(assigned: Assigned, message: Distribute<Report, 'serial' | 'job' | 'stage' | 'attempt'>, incarnation = 'i1'): void {
    const key = `${assigned.worker}/${incarnation}`;
    const number = (this.numbers.get(key) ?? 0) + 1;
    this.numbers.set(key, number);
    const { term, serial, job, stage, attempt } = assigned;
    this.worker({ term, serial, job, stage, attempt, ...message, number } as never, assigned.worker, incarnation);
  }

  done(assigned: Assigned, run: (frame: string) => string, incarnation = 'i1'): void {
    const results = assigned.frames.slice(0, assigned.lengths.length).map(run);
    this.report(
      assigned,
      { kind: 'results', ranges: assigned.ranges, durations: new Uint32Array(results.length).fill(1000), ...pack(results) },
      incarnation,
    );
  }

  fail(assigned: Assigned, index: number, verdict: 'retry' | 'dead' = 'retry', message = 'no'): void {
    this.report(assigned, { kind: 'failed', index, error: { name: 'Error', message }, verdict, durationUs: 5 });
  }

  take(): Assigned {
    const next = this.assigned.shift();
    if (!next) throw new Error('nothing was assigned');
    return next;
  }

  /** Runs all that is assigned until nothing is; `run` gets the task's frames. */
  work(run: (frames: string[], assigned: Assigned, index: number) => string | string[]): void {
    while (this.assigned.length > 0) this.workOne(this.take(), run);
  }

  workOne(assigned: Assigned, run: (frames: string[], assigned: Assigned, index: number) => string | string[]): void {
    const own = cut(assigned.body[0]!, assigned.lengths);
    const shared = assigned.frames.slice(assigned.lengths.length);
    const indices = [...indicesOf(assigned.ranges)];
    let at = 0;
    const perTask = assigned.counts ? undefined : own.length / indices.length;
    const outputs = indices.map((index, task) => {
      const count = perTask ?? assigned.counts![task]!;
      const frames = [...own.slice(at, at + count), ...shared];
      at += count;
      return run(frames, assigned, index);
    });
    const durations = new Uint32Array(indices.length).fill(1000);
    if (assigned.spread) {
      const lists = outputs as string[][];
      this.report(assigned, {
        kind: 'results',
        ranges: assigned.ranges,
        durations,
        counts: Uint32Array.from(lists, (list) => list.length),
        ...pack(lists.flat()),
      });
    } else {
      this.report(assigned, { kind: 'results', ranges: assigned.ranges, durations, ...pack(outputs as string[]) });
    }
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.wallMs += ms;
    this.turn([]);
  }

  /** A second between ticks, as the shell does, with beats of the named workers. */
  passWithBeats(ms: number, workers: readonly string[] = []): void {
    for (let passed = 0; passed < ms; passed += 1000) {
      this.nowMs += 1000;
      this.wallMs += 1000;
      for (const name of workers) this.state.workersByName.get(name)!.lastHeardMs = this.nowMs;
      this.turn([{ from: 'self', event: 'tick' }]);
    }
  }

  loseWorker(): void {
    this.passWithBeats(leaseMs + 2000);
  }

  // ---- the journal's own story ----

  /** A new leader over the same journal. */
  takeOver(): void {
    const term = this.state.term + 1;
    this.state = this.refold();
    this.turn([{ from: 'self', event: 'tookOver', term }]);
  }

  /** Of the last entry of each stream, hints that nothing waits for: a leader may go before it has stored them (rule 6). */
  loseHints(isLost: () => boolean): void {
    for (const job of this.state.jobs.values()) {
      const last = this.journal.get(job.stream)?.at(-1);
      if (!last) continue;
      last.facts = last.facts.filter((fact) => {
        if (fact.fact !== 'tasks-started' || job.stages[fact.stage]!.spec.crashLimit === 0) return true;
        return [...indicesOf(fact.ranges)].some((index) => job.stages[fact.stage]!.columns.suspicion(index) > 0) || !isLost();
      });
    }
  }

  private refold(): State {
    const state = createState({ writer: 'other', registryStream: 'registry', isOneMachine: this.isOneMachine, bounds: this.bounds });
    const at = { nowMs: this.nowMs, wallMs: this.wallMs };
    const { registry } = state;
    registry.rootSeq = this.journal.get('registry')?.length ?? 0;
    const named = this.journal.get('registry')?.at(-1)?.facts.at(-1);
    if (named?.fact === 'stream-rolled') startAt(state, named);
    for (let isMore = true; isMore; ) {
      let last: Draft['facts'][number] | undefined;
      for (const { facts, seq } of (this.journal.get(registry.stream) ?? []).slice(registry.nextSeq)) {
        for (last of facts) applyRegistryFact(state, structuredClone(last) as never, at);
        registry.nextSeq = seq + 1;
        if (registry.nextSeq <= registry.snapshotEntries) registry.facts = 0;
      }
      isMore = last?.fact === 'stream-rolled';
      if (last?.fact === 'stream-rolled') goOn(state, last);
    }
    for (const job of state.jobs.values()) {
      for (const { facts, seq } of this.journal.get(jobStream(job.id)) ?? []) {
        for (const fact of facts) applyJobFact(state, job, structuredClone(fact) as never, seq, at);
        job.nextSeq = seq + 1;
      }
    }
    return state;
  }

  private compareWithJournal(): void {
    const live = picture(this.state);
    const folded = picture(this.refold());
    if (live !== folded) throw new Error(`memory differs from the journal's fold (I8):\n${live}\n${folded}`);
  }
}

/** All that facts decide, as text. Being started is a hint, so ready and running look alike. */
function picture(state: State): string {
  const jobs = [...state.jobs.values()].map((job) => {
    const stages = job.stages.map((stage) => {
      const rows: string[] = [];
      for (let i = 0; i < stage.columns.length; i++) {
        const taskState = stage.columns.state(i);
        const open = taskState === 1 || taskState === 2 ? 'open' : taskState;
        rows.push(
          `${open}.${stage.columns.attempt(i)}.${stage.columns.suspicion(i)}.${stage.columns.resultEntry(i)}.${stage.columns.resultOffset(i)}`,
        );
      }
      const fold = stage.fold ? `${stage.fold.result?.entry ?? '-'}/${stage.fold.free.length}/${stage.fold.takes.size}` : '';
      return `${stage.sealed}${stage.ended}${stage.gatesLeft} ${rows.join(' ')} ${fold} ${stage.completion.join()}`;
    });
    return `${job.id} ${job.outcome} ${JSON.stringify(job.changes)} ${JSON.stringify([...job.stories.values()])}\n  ${stages.join('\n  ')}`;
  });
  const bundles = [...state.bundles.values()].map(({ hash, stream, jobs: needed }) => `${hash} ${stream} ${[...needed].join()}`);
  const workers = state.workers.map(
    ({ name, incarnation, past, status }) => `${name} ${incarnation} ${[...past].join()} ${status === 'left'}`,
  );
  const rest = [[...state.pausedQueues].sort(), state.submissions, state.keys].map((each) => [...each].join());
  const queues = [...state.queueChanges].map(([queue, changes]) => `${queue} ${JSON.stringify(changes)}`);
  return [...jobs, ...bundles, ...workers, ...queues, ...rest].join('\n');
}

export function stage(feed: StageSpec['feed'] = { kind: 'inputs' }, options: Partial<StageSpec> = {}): StageSpec {
  return {
    definition: { name: feed.kind },
    feed,
    queue: 'default',
    resources: {},
    retry: { retries: 0, backoff: 'exponential', delayMs: 1000, delayMsMax: 60_000, jitter: true },
    crashLimit: 3,
    failuresMax: { count: 0 },
    onFailure: 'dead-letter',
    ...options,
  };
}

export function jobSpec(stages: StageSpec[], options: Partial<JobSpec> = {}): JobSpec {
  return { name: 'job', stages, output: { stage: stages.length - 1, take: 'all' }, priority: 0, keepMs: 86_400_000, ...options };
}
