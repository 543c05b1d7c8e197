/**
 * Random graphs under random misfortune, all from one seed: results in part, failures, crashes, hand-backs, late
 * copies, lost workers, take-overs, pauses, cancels, replays. Then a quiet phase with a worker that behaves.
 * The driver checks the invariants and I8 after each turn.
 */
import { expect } from 'vitest';
import { TaskState } from './columns.ts';
import { type Assigned, Driver, jobSpec, pack } from './drive.suite.ts';
import type { Ranges } from './messages.ts';
import { Dice, elementsOf, Graphs, giveOf, isPoison } from './model-graphs.suite.ts';
import { randomFrom } from './random.ts';
import { indicesOf, RangeList } from './ranges.ts';
import type { JobSpec, StageSpec } from './spec.ts';
import type { Stage } from './state.ts';

const stormActions = 70;
const calmRoundsMax = 300;

interface ModelJob {
  id: string;
  spec: JobSpec;
  inputs: Map<number, string[]>;
  /** Replayed once, a stage may have seen less of an array than is there in the end. */
  isReplayed: boolean;
}

interface Held extends Assigned {
  incarnation: string;
}

export class Model {
  readonly driver: Driver;
  jobs: ModelJob[] = [];
  private readonly dice: Dice;
  private readonly graphs: Graphs;
  private held: Held[] = [];
  private past: Held[] = [];
  private readonly incarnations = new Map<string, number>();
  private hasPoison = true;
  private readers = 1e6;
  private isPaused = false;

  constructor(seed: number) {
    this.driver = new Driver(1, seed % 3 > 0);
    this.dice = new Dice(randomFrom(seed));
    this.graphs = new Graphs(this.dice);
    this.driver.pass(1);
  }

  // ---- jobs ----

  private submit(): void {
    const stages: StageSpec[] = [];
    const count = 1 + this.dice.below(5);
    for (let at = 0; at < count; at++) stages.push(this.graphs.next(stages, at));
    const output = this.dice.chance(0.7) ? count - 1 : this.dice.below(count);
    const spec = jobSpec(stages, {
      output: { stage: output, take: stages[output]!.feed.kind === 'fold' ? 'one' : 'all' },
      priority: this.dice.below(2),
      ...(this.dice.chance(0.1) ? { deadlineWallMs: this.driver.wallMs + 15_000 } : {}),
      ...(this.dice.chance(0.1) ? { delayMs: 3000 } : {}),
    });
    const id = this.driver.submit(spec, undefined);
    const inputs: ModelJob['inputs'] = new Map();
    stages.forEach(({ feed }, at) => {
      if (feed.kind !== 'inputs') return;
      const length = this.dice.chance(0.15) ? 0 : this.dice.below(10);
      inputs.set(
        at,
        Array.from({ length }, (_, i) => `${id}.${at}.${i}`),
      );
    });
    this.jobs.push({ id, spec, inputs, isReplayed: false });
    if (this.dice.chance(0.7)) this.watch(id);
  }

  private watch(job: string): void {
    const order = this.dice.pick(['input', 'completion'] as const);
    this.driver.client({
      kind: 'read',
      reader: ++this.readers,
      job,
      order,
      credit: this.dice.chance(0.5) ? 1000 : 3,
      inputs: this.dice.chance(0.3),
    });
  }

  /** As a client does that goes on behind what is there, and repeats some of it. */
  private feed(job: ModelJob, all: boolean): void {
    for (const [at, texts] of job.inputs) {
      const known = this.stageOf(job, at)!.columns.length;
      const from = Math.max(0, known - this.dice.below(3));
      const to = all ? texts.length : Math.min(texts.length, known + this.dice.below(5));
      if (to > from) this.driver.client({ kind: 'inputs', job: job.id, stage: at, from, ...pack(texts.slice(from, to)) });
      if (to === texts.length) this.driver.client({ kind: 'seal', job: job.id, stage: at, total: to });
    }
  }

  private stageOf(job: ModelJob, at: number): Stage | undefined {
    return this.driver.state.jobs.get(job.id)?.stages[at];
  }

  // ---- workers ----

  private hello(name: string, isNew = true): void {
    const number = (this.incarnations.get(name) ?? 0) + (isNew ? 1 : 0);
    this.incarnations.set(name, number);
    const resources = { cpu: 2, memory: 1e9, device: 1 + (number % 2) };
    this.driver.hello(name, { slots: 1 + this.dice.below(3), incarnation: `i${number}`, queues: ['default', 'other'], resources });
  }

  /** Takes in what was assigned by the last action. */
  collect(): void {
    for (const assigned of this.driver.assigned.splice(0)) {
      this.held.push({ ...assigned, incarnation: `i${this.incarnations.get(assigned.worker)}` });
    }
  }

  /** Each task's frames: its own, those of 'same' args, then the shared ones, as a worker cuts them. */
  private framesOf(held: Held): string[][] {
    const { input } = held;
    const own = held.frames.slice(0, held.lengths.length);
    const shared = held.frames.slice(held.lengths.length);
    let at = 0;
    let count = 0;
    return [...indicesOf(held.ranges)].map(() => {
      let frames = 1;
      if (input.kind === 'list') frames = held.counts![count++]!;
      if (input.kind === 'template') {
        frames = input.template === undefined ? 1 : 0;
        for (const arg of input.args) if (arg.take === 'same') frames += held.counts ? held.counts[count++]! : 1;
      }
      return [...own.slice(at, (at += frames)), ...shared];
    });
  }

  private report(held: Held, message: Parameters<Driver['report']>[1]): void {
    this.driver.report(held, message, held.incarnation);
  }

  /** Reports tasks `indices` of it, combined if that is wished for and allowed. */
  private answer(held: Held, isMine: (index: number) => boolean, combined: boolean): void {
    const { spec } = this.jobs.find(({ id }) => id === held.job)!;
    const stageSpec = spec.stages[held.stage]!;
    const frames = this.framesOf(held);
    const ranges = new RangeList();
    const values: string[] = [];
    [...indicesOf(held.ranges)].forEach((index, task) => {
      if (!isMine(index)) return;
      if (this.hasPoison && stageSpec.feed.kind !== 'fold' && isPoison(frames[task]!)) {
        this.report(held, { kind: 'failed', index, error: { name: 'Error', message: 'poison' }, verdict: 'retry', durationUs: 5 });
        return;
      }
      ranges.add(index);
      values.push(giveOf(held.stage, stageSpec, frames[task]!));
    });
    if (values.length === 0) return;
    const list = ranges.take();
    const durations = new Uint32Array(values.length).fill(500);
    const lists = values.map(elementsOf);
    const fold = held.combine && spec.stages.find(({ feed }) => feed.kind === 'fold' && feed.from === held.stage);
    if (held.spread) {
      const counts = Uint32Array.from(lists, (elements) => elements.length);
      this.report(held, { kind: 'results', ranges: list, durations, counts, ...pack(lists.flat()) });
    } else if (combined && fold && (!held.combine!.ordered || list.length === 2)) {
      this.report(held, { kind: 'partial', ranges: list, durations, body: pack([giveOf(0, fold, values)]).body });
    } else {
      this.report(held, { kind: 'results', ranges: list, durations, ...pack(values) });
    }
  }

  private misbehave(): void {
    const isLate = this.dice.chance(0.15) && this.past.length > 0;
    if (!isLate && this.held.length === 0) return;
    const held = isLate ? this.dice.pick(this.past) : this.dice.pick(this.held);
    const indices = [...indicesOf(held.ranges)];
    const index = this.dice.pick(indices);
    const error = { name: 'Error', message: 'no' };
    const some = new Set(indices.filter(() => this.dice.chance(0.6)));
    const part: Ranges = Uint32Array.from([...some].flatMap((one) => [one, 1]));
    if (this.dice.chance(0.6)) this.answer(held, (one) => some.has(one), this.dice.chance(0.5));
    else if (this.dice.chance(0.3)) this.report(held, { kind: 'released', ranges: part, why: 'full' });
    else if (this.dice.chance(0.4)) this.report(held, { kind: 'crashed', index, how: 'exit', error });
    else if (this.dice.chance(0.1)) this.report(held, { kind: 'refused', ranges: held.ranges, why: 'no code', error });
    else this.report(held, { kind: 'failed', index, error, verdict: this.dice.chance(0.8) ? 'retry' : 'dead', durationUs: 5 });
    if (this.dice.chance(0.4) && !isLate) this.forget(held);
  }

  private forget(held: Held): void {
    this.held.splice(this.held.indexOf(held), 1);
    this.past.push(held);
  }

  /** A list of what a worker holds, as true as it gets here. */
  private list(name: string): void {
    const incarnation = `i${this.incarnations.get(name) ?? 0}`;
    const mine = this.held.filter((held) => held.worker === name && held.incarnation === incarnation && this.dice.chance(0.8));
    const held = mine.map(({ serial, term, job, stage: at, attempt, ranges }) => ({
      serial,
      term,
      job,
      stage: at,
      attempt,
      ranges: [...ranges],
    }));
    const lastSerial = this.dice.pick([0, this.driver.state.nextSerial]);
    this.driver.worker({ kind: 'held', term: this.driver.state.term, lastSerial, held }, name, incarnation);
  }

  // ---- the two phases ----

  storm(): void {
    const names = ['w1', 'w2'];
    for (let action = 0; action < stormActions; action++) {
      const job = this.jobs.length > 0 ? this.dice.pick(this.jobs) : undefined;
      const dice = this.dice.below(100);
      if (dice < 50) this.misbehave();
      else if (dice < 62 && job) this.feed(job, false);
      else if (dice < 66 && this.jobs.length < 3) this.submit();
      else if (dice < 74) this.driver.pass(this.dice.below(1500));
      else if (dice < 77) this.driver.passWithBeats(1000 + this.dice.below(7000), this.dice.chance(0.5) ? this.live() : []);
      else if (dice < 83) this.hello(this.dice.pick(names), this.dice.chance(0.5) || action < 20);
      else if (dice < 86) this.list(this.dice.pick(names));
      else if (dice < 87) this.driver.worker({ kind: 'goodbye' }, 'w2', `i${this.incarnations.get('w2') ?? 0}`);
      else if (dice < 90) this.takeOver();
      else if (dice < 92) this.pause(!this.isPaused);
      else if (dice < 93 && job) this.driver.ask({ kind: 'cancel', job: job.id, reason: 'enough' });
      else if (dice < 97 && job) this.replay(job);
      else if (dice < 98 && job) this.delete(job);
      else if (job) this.watch(job.id);
      this.collect();
    }
  }

  private delete(job: ModelJob): void {
    this.driver.ask({ kind: 'deleteJob', job: job.id });
    this.jobs = this.jobs.filter((other) => other !== job);
    this.held = this.held.filter((held) => held.job !== job.id);
    this.past = this.past.filter((held) => held.job !== job.id);
  }

  private live(): string[] {
    return this.driver.state.workers.filter(({ status }) => status === 'live').map(({ name }) => name);
  }

  private takeOver(): void {
    this.driver.loseHints(() => this.dice.chance(0.5));
    this.driver.takeOver();
    for (const { id } of this.jobs) this.driver.client({ kind: 'wait', request: 0, job: id });
  }

  private pause(paused: boolean): void {
    this.isPaused = paused;
    this.driver.ask({ kind: 'setQueue', queue: 'other', paused });
  }

  private replay(job: ModelJob): void {
    const at = this.dice.below(job.spec.stages.length);
    const index = this.dice.below(4);
    const some = this.dice.pick([{}, {}, { stage: at }, { stage: at, index }, { stage: at, index, expectedAttempt: 2 }]);
    job.isReplayed = true;
    this.driver.ask({ kind: 'replay', job: job.id, ...some });
  }

  calm(): void {
    this.pause(false);
    this.held = [];
    for (const name of ['w1', 'w2']) this.hello(name);
    this.workOn();
  }

  private workOn(): void {
    for (let round = 0; this.jobs.some(({ id }) => this.driver.state.jobs.get(id)!.outcome === undefined); round++) {
      if (round > calmRoundsMax) throw new Error(`a job never ends: ${this.openOnes()}`);
      for (const job of this.jobs) this.feed(job, true);
      this.collect();
      while (this.held.length > 0) {
        const held = this.held[0]!;
        this.forget(held);
        this.answer(held, () => true, true);
        this.collect();
      }
      this.driver.passWithBeats(1000, ['w1', 'w2']);
      this.collect();
    }
  }

  private openOnes(): string {
    const open = [...this.driver.state.jobs.values()].filter(({ outcome }) => outcome === undefined);
    return open
      .flatMap(({ id, stages }) => [
        id,
        ...stages.map(({ spec: { feed, args, after, failuresMax }, counts, sealed, ended, gatesLeft }) =>
          JSON.stringify({ feed, args, after, failuresMax, counts: counts.join(), sealed, ended, gatesLeft }),
        ),
      ])
      .join('\n');
  }

  mend(): void {
    this.hasPoison = false;
    for (const job of this.jobs) {
      job.isReplayed = true;
      this.driver.ask({ kind: 'replay', job: job.id });
    }
    this.workOn();
  }

  // ---- what must be so ----

  check(mended: boolean): void {
    for (const job of this.jobs) {
      const { outcome } = this.driver.view(job.id).state === 'succeeded' ? { outcome: 'succeeded' } : this.driver.state.jobs.get(job.id)!;
      if (mended)
        expect(`${outcome}: ${JSON.stringify(this.driver.view(job.id))} ${JSON.stringify(job.spec.stages)}`).toMatch(/^succeeded/);
      if (outcome === 'succeeded') this.checkOutput(job);
    }
    this.checkReaders();
  }

  private checkOutput(job: ModelJob): void {
    const hasAll = job.spec.stages.some(({ args }) => args?.some(({ take }) => take === 'all'));
    const { stage: at } = job.spec.output;
    const out = this.stageOf(job, at)!;
    for (const [index, texts] of job.inputs) expect(this.stageOf(job, index)!.columns.length).toBe(texts.length);
    const expected = out.fold ? [this.foldValue(job, at)] : this.valuesOf(job, at).flatMap(([, values]) => values);
    // A rejected task is an empty frame; no value here is empty, but a fold's may be.
    const values = (order: 'input' | 'completion'): string[] =>
      this.driver.read(job.id, { order }).filter((value) => out.fold || value !== '');
    const read = values('input');
    const completed = values('completion');
    expect(completed.toSorted()).toEqual(read.toSorted());
    if (job.isReplayed && hasAll) return;
    expect(read).toEqual(expected);
  }

  /** [index, frames of its result] of all tasks that are done. */
  private valuesOf(job: ModelJob, at: number): [number, string[]][] {
    const { columns, elements } = this.stageOf(job, at)!;
    const values: [number, string[]][] = [];
    for (let index = 0; index < columns.length; index++) {
      if (columns.state(index) !== TaskState.done) continue;
      const value = this.valueAt(job, at, index);
      values.push([index, elements ? elementsOf(value) : [value]]);
    }
    return values;
  }

  private foldValue(job: ModelJob, at: number): string {
    const { feed } = job.spec.stages[at]! as { feed: Extract<StageSpec['feed'], { kind: 'fold' }> };
    return giveOf(
      at,
      job.spec.stages[at]!,
      this.valuesOf(job, feed.from).flatMap(([, values]) => values),
    );
  }

  private resultFrames(job: ModelJob, at: number, index: number): string[] {
    if (job.spec.stages[at]!.feed.kind === 'fold') return [this.foldValue(job, at)];
    const value = this.valueAt(job, at, index);
    return this.stageOf(job, at)!.elements ? elementsOf(value) : [value];
  }

  private valueAt(job: ModelJob, at: number, index: number): string {
    const spec = job.spec.stages[at]!;
    const { feed } = spec;
    const frames: string[] = [];
    if (feed.kind === 'inputs') frames.push(job.inputs.get(at)![index]!);
    if (feed.kind === 'inputs' && !spec.definition) return frames[0]!;
    if (feed.kind === 'each' && !spec.args) frames.push(...this.resultFrames(job, feed.from, index));
    if (feed.kind === 'spread') {
      const [up, [from]] = [...this.stageOf(job, feed.from)!.elements!].find(
        ([, [first, count]]) => index >= first && index < first + count,
      )!;
      frames.push(elementsOf(this.valueAt(job, feed.from, up))[index - from]!);
    }
    const args = spec.args ?? [];
    for (const arg of args) if (arg.take === 'same') frames.push(...this.resultFrames(job, arg.stage, index));
    for (const arg of args) {
      if (arg.take === 'same') continue;
      const isOne = arg.take === 'one' || job.spec.stages[arg.stage]!.feed.kind === 'fold';
      if (isOne) frames.push(...this.resultFrames(job, arg.stage, 0));
      else frames.push(...this.valuesOf(job, arg.stage).flatMap(([, values]) => values));
    }
    return giveOf(at, spec, frames);
  }

  /** No reader is given the same result twice. */
  private checkReaders(): void {
    const seen = new Set<string>();
    for (const { reader, indices, statuses } of this.driver.delivered) {
      [...indicesOf(indices)].forEach((index, task) => {
        const key = `${reader}/${index}`;
        if (statuses[task] !== 0) return;
        expect(seen.has(key), `reader ${key} twice`).toBe(false);
        seen.add(key);
      });
    }
  }
}
