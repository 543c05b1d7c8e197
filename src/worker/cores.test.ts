/**
 * Both cores against each other: the coordinator's state machine and two workers' protocols, over a network that
 * loses, repeats, delays and reorders, with workers that stand still, die and come back, and leaders that are
 * replaced. All of it from one seed; no clock, no thread. After the storm everything must come to its end.
 */
import { expect, test } from 'vitest';
import { cut, Driver, jobSpec, pack, stage } from '../core/drive.suite.ts';
import type { FromWorker, ToWorker } from '../core/messages.ts';
import { randomFrom } from '../core/random.ts';
import { countOf, indicesOf } from '../core/ranges.ts';
import type { Work } from './executors/executor.ts';
import { WorkerProtocol, workerAddress } from './protocol.ts';

interface Storm {
  seed: number;
  loss: number;
  duplication: number;
  delayMs: number;
  /** Chances per 100 ms. */
  pauses: number;
  deaths: number;
  takeovers: number;
}

const stormMs = 40_000;
const calmMsMax = 300_000;
const stepMs = 100;
const tasks = 60;

class SimulatedWorker {
  readonly name: string;
  protocol!: WorkerProtocol;
  incarnation = '';
  pausedUntilMs = 0;
  /** What its slots run, and when that is done. */
  running: { slot: number; work: Work; doneMs: number }[] = [];
  inbox: ToWorker[] = [];
  starts = 0;

  constructor(name: string) {
    this.name = name;
  }
}

class Cluster {
  readonly driver = new Driver();
  readonly workers = [new SimulatedWorker('w1'), new SimulatedWorker('w2')];
  readonly runs = new Map<number, number>();
  job = '';
  private readonly random: () => number;
  private readonly storm: Storm;
  private readonly startMs: number;
  private wire: { atMs: number; to: string; message: FromWorker | ToWorker }[] = [];
  private isCalm = false;

  constructor(storm: Storm) {
    this.storm = storm;
    this.random = randomFrom(storm.seed);
    this.startMs = this.driver.nowMs;
    for (const worker of this.workers) this.startWorker(worker);
  }

  get nowMs(): number {
    return this.driver.nowMs;
  }

  /** Runs until `isOver`; the weather clears after `stormMs`. */
  run(isOver: () => boolean): void {
    while (!isOver()) {
      this.isCalm = this.nowMs - this.startMs > stormMs;
      if (this.nowMs - this.startMs > stormMs + calmMsMax) throw new Error(`seed ${this.storm.seed}: no end`);
      if (!this.isCalm) this.misfortunes();
      this.advance();
    }
  }

  private misfortunes(): void {
    for (const worker of this.workers) {
      if (this.random() < this.storm.pauses) worker.pausedUntilMs = this.nowMs + 2_000 + this.random() * 8_000;
      if (this.random() < this.storm.deaths) this.startWorker(worker);
    }
    if (this.random() < this.storm.takeovers) {
      this.driver.takeOver();
      // Somebody waits for it: jobs that nobody asks for rest after a take-over on one machine.
      this.driver.client({ kind: 'wait', request: 0, job: this.job });
      this.collect();
    }
  }

  private advance(): void {
    this.driver.pass(stepMs);
    if (Math.round(this.nowMs) % 500 === 0) this.driver.turn([{ from: 'self', event: 'tick' }]);
    this.collect();
    const due = this.wire.filter(({ atMs }) => atMs <= this.nowMs);
    this.wire = this.wire.filter(({ atMs }) => atMs > this.nowMs);
    for (const { to, message } of due.toSorted((a, b) => a.atMs - b.atMs)) this.arrive(to, message);
    for (const worker of this.workers) if (worker.pausedUntilMs <= this.nowMs) this.work(worker);
  }

  private arrive(to: string, message: FromWorker | ToWorker): void {
    if (to === 'hello' || to === `coordinator.${this.driver.state.term}`) {
      this.driver.turn([{ from: 'worker', message: message as FromWorker }]);
      this.collect();
      return;
    }
    const worker = this.workers.find(({ name, incarnation }) => workerAddress(name, incarnation) === to);
    worker?.inbox.push(message as ToWorker);
  }

  private work(worker: SimulatedWorker): void {
    this.round(worker, () => {
      for (const message of worker.inbox.splice(0)) worker.protocol.onMessage(message, this.nowMs);
    });
    for (const entry of worker.running.filter(({ doneMs }) => doneMs <= this.nowMs)) {
      worker.running.splice(worker.running.indexOf(entry), 1);
      const { work } = entry;
      const inputs = cut(work.body, work.lengths);
      const { lengths, body } = pack(inputs.map((input) => `<${input}>`));
      const durations = new Uint32Array(inputs.length).fill(1000 * (1 + Math.floor(this.random() * 50)));
      for (const index of indicesOf(work.ranges)) this.runs.set(index, (this.runs.get(index) ?? 0) + 1);
      this.round(worker, () => {
        worker.protocol.reports.onResults(work.id, { ranges: work.ranges, lengths, durations, body: body[0]! }, this.nowMs);
        worker.protocol.onFinished(work.id, this.nowMs);
      });
    }
    this.round(worker, () => worker.protocol.tick(this.nowMs));
  }

  private round(worker: SimulatedWorker, input: () => void): void {
    input();
    worker.protocol.fill(this.nowMs);
    for (const effect of worker.protocol.takeEffects()) {
      switch (effect.effect) {
        case 'send':
          this.send(effect.address, effect.message);
          break;
        case 'run':
          worker.running.push({ slot: effect.slot, work: effect.work, doneMs: this.nowMs + Math.floor(this.random() * 900) });
          break;
        case 'abort':
        case 'revoke':
          this.callOff(worker, effect.work, effect.effect === 'abort');
          break;
        case 'newIncarnation':
          this.begin(worker);
          break;
      }
    }
  }

  /** A slot gives back a whole work if it may; what is done soon anyway is not worth the trouble. */
  private callOff(worker: SimulatedWorker, work: Work, isAbort: boolean): void {
    const entry = worker.running.find((running) => running.work === work);
    if (!entry || (!isAbort && countOf(work.ranges) === 1)) return;
    worker.running.splice(worker.running.indexOf(entry), 1);
    this.round(worker, () => {
      worker.protocol.reports.onReleased(work.id, work.ranges, isAbort ? 'aborted' : 'revoked', this.nowMs);
      worker.protocol.onFinished(work.id, this.nowMs);
    });
  }

  private startWorker(worker: SimulatedWorker): void {
    worker.protocol = new WorkerProtocol({
      worker: worker.name,
      slots: 2,
      labels: {},
      resources: { cpu: 2, memory: 1e9 },
      queues: ['default'],
      host: 'here',
      pid: 1,
      life: 'l1',
      version: '0.0.0',
      code: { kind: 'any' },
      messageBytesMax: 1e6,
      hasAloneSlot: true,
      seed: Math.floor(this.random() * 1e9),
    });
    worker.running = [];
    worker.pausedUntilMs = 0;
    this.begin(worker);
  }

  private begin(worker: SimulatedWorker): void {
    worker.starts += 1;
    worker.incarnation = `i${worker.starts}`;
    worker.inbox = [];
    this.round(worker, () => worker.protocol.begin(worker.incarnation, this.nowMs));
  }

  private collect(): void {
    for (const { address, message } of this.driver.sent.splice(0)) this.send(address, message);
    for (const { worker, frames: _, ...message } of this.driver.assigned.splice(0)) {
      this.send(this.driver.state.workersByName.get(worker)!.address, message);
    }
  }

  private send(to: string, message: FromWorker | ToWorker): void {
    const { loss, duplication, delayMs } = this.storm;
    if (!this.isCalm && this.random() < loss) return;
    const copies = !this.isCalm && this.random() < duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      // The columns of a repeated message are the receiver's own.
      this.wire.push({ atMs: this.nowMs + (this.isCalm ? 1 : this.random() * delayMs), to, message: structuredClone(message) });
    }
  }
}

function compute(storm: Storm): Cluster {
  const cluster = new Cluster(storm);
  const { driver } = cluster;
  const inputs = Array.from({ length: tasks }, (_, index) => `${index}`);
  const job = driver.submit(jobSpec([stage({ kind: 'inputs' }, { crashLimit: 200 })]), inputs);
  cluster.job = job;
  cluster.run(() => driver.state.jobs.get(job)!.outcome !== undefined);
  expect(driver.view(job)).toMatchObject({ state: 'succeeded', succeeded: tasks, failed: 0 });
  expect(driver.read(job)).toEqual(inputs.map((input) => `<${input}>`));
  return cluster;
}

const calm = { loss: 0, duplication: 0, delayMs: 1, pauses: 0, deaths: 0, takeovers: 0 };

test('in calm weather each task runs once', () => {
  const { runs } = compute({ seed: 1, ...calm });
  expect([...runs.values()]).toEqual(new Array(tasks).fill(1));
});

test.each([1, 2, 3, 4, 5])('repeated and reordered messages run nothing twice (N03, N04), seed %i', (seed) => {
  const { runs } = compute({ seed, ...calm, duplication: 0.5, delayMs: 80 });
  expect([...runs.values()]).toEqual(new Array(tasks).fill(1));
});

test.each([1, 2, 3, 4, 5])('lost messages cost time, not results (N02), seed %i', (seed) => {
  compute({ seed, ...calm, loss: 0.2, duplication: 0.2, delayMs: 500 });
});

test.each([1, 2, 3, 4, 5])('workers that stand still or die (W01, W02, W11, W12), seed %i', (seed) => {
  compute({ seed, ...calm, pauses: 0.01, deaths: 0.01, delayMs: 100 });
});

test.each([1, 2, 3, 4, 5])('leaders that are replaced while results are on their way (rules 4, 8), seed %i', (seed) => {
  compute({ seed, ...calm, takeovers: 0.02, delayMs: 300 });
});

test.each(Array.from({ length: 10 }, (_, at) => at + 1))('everything at once, seed %i', (seed) => {
  compute({ seed, loss: 0.1, duplication: 0.2, delayMs: 800, pauses: 0.005, deaths: 0.005, takeovers: 0.005 });
});
