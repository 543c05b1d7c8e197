/**
 * A coordinator for tests of the client alone: one session, jobs of one chain of stages, run in this thread with the
 * registered definitions. It records what it was sent, and runs tasks only when it is told to, so that a test decides
 * the order of things. What it leaves out (retries, leases, journals) the client never sees.
 */
import { fillTemplate, pick } from '../codecs/template.ts';
import type { JobState, JobView, TaskFailure } from '../core/answers.ts';
import type { DeliverMessage, FromClient, LogLine, Session, ToClient } from '../core/messages.ts';
import type { JobSpec, StageSpec } from '../core/spec.ts';
import { ByteSink, concatBytes } from '../lib/bytes.ts';
import { findDefinition } from '../tasks/definition.ts';
import type { Opened, OpenOptions } from './opener.ts';

type Of<K extends FromClient['kind']> = Extract<FromClient, { kind: K }>;

interface Outcome {
  bytes?: Uint8Array;
  failure?: TaskFailure;
}

class ScriptedJob {
  readonly id: string;
  readonly spec: JobSpec;
  readonly digest: string;
  state: JobState = 'queued';
  reason: string | undefined;
  error: TaskFailure | undefined;
  sealed = false;
  inputDigest: string | undefined;
  readonly inputs: Uint8Array[] = [];
  /** By index: of the last stage, or of the fold's one value. */
  readonly outcomes: (Outcome | undefined)[] = [];
  readonly completion: number[] = [];
  readonly waiters: number[] = [];
  readonly readers = new Map<number, { order: 'input' | 'completion'; credit: number; inputs: boolean; next: number }>();

  constructor(id: string, spec: JobSpec, digest: string) {
    this.id = id;
    this.spec = spec;
    this.digest = digest;
  }

  get hasEnded(): boolean {
    return this.state !== 'queued' && this.state !== 'running';
  }
}

export class ScriptedCoordinator {
  readonly sent: FromClient[] = [];
  /** What tasks are said to have printed. */
  readonly printed: LogLine[] = [];
  readonly jobs = new Map<string, ScriptedJob>();
  readonly options: OpenOptions[] = [];
  /** Run tasks as soon as they are there; else by `run()`. */
  isEager = true;
  isDurable = false;
  closed = 0;
  /** Most inputs that were there and not final at any time. */
  inFlightMax = 0;
  #session: Session | undefined;
  #isTurnDue = false;

  readonly open = (address: string, options: OpenOptions): Promise<Opened> => {
    this.options.push(options);
    return Promise.resolve({
      address,
      durable: this.isDurable,
      session: () => this.#newSession(),
      close: () => {
        this.closed++;
        return Promise.resolve();
      },
    });
  };

  of<K extends FromClient['kind']>(kind: K): Of<K>[] {
    return this.sent.filter((message): message is Of<K> => message.kind === kind);
  }

  get job(): ScriptedJob {
    const job = [...this.jobs.values()].at(-1);
    if (!job) throw new Error('nothing was submitted');
    return job;
  }

  /** Ends the session as a lost connection would. */
  lose(): void {
    this.#session?.onClose({ code: 'SH3001', message: 'the coordinator is gone' });
  }

  /** Runs up to `count` tasks of a job, in the order of their inputs or from the last one. */
  run(job: ScriptedJob, count = Number.POSITIVE_INFINITY, from: 'first' | 'last' = 'first'): void {
    const open = [...job.inputs.keys()].filter((index) => job.outcomes[index] === undefined);
    if (from === 'last') open.reverse();
    for (const index of open.slice(0, count)) {
      if (job.hasEnded) break;
      this.#runTask(job, index);
    }
    this.#settle(job);
    this.#soon();
  }

  #newSession(): Session {
    const session: Session = {
      send: (message) => {
        this.sent.push(message);
        this.#receive(message);
        this.#soon();
      },
      onMessage: () => undefined,
      onClose: () => undefined,
      close: () => undefined,
    };
    this.#session = session;
    return session;
  }

  #tell(message: ToClient): void {
    setImmediate(() => this.#session!.onMessage(message));
  }

  #receive(message: FromClient): void {
    switch (message.kind) {
      case 'submit':
        return this.#submit(message);
      case 'inputs': {
        const job = this.jobs.get(message.job)!;
        if (job.hasEnded || message.from !== job.inputs.length) return;
        const body = concatBytes(message.body);
        let at = 0;
        for (const length of message.lengths) job.inputs.push(body.slice(at, (at += length)));
        job.inputDigest = message.digest;
        this.inFlightMax = Math.max(this.inFlightMax, job.inputs.length - job.outcomes.filter(Boolean).length);
        return;
      }
      case 'seal':
        this.jobs.get(message.job)!.sealed = true;
        return;
      case 'cancel': {
        const job = this.jobs.get(message.job)!;
        if (!job.hasEnded) Object.assign(job, { state: 'cancelled', reason: message.reason });
        return this.#tell({ kind: 'reply', request: message.request, value: {} });
      }
      case 'replay': {
        const job = this.jobs.get(message.job)!;
        job.state = 'running';
        const dead = [...job.outcomes.entries()].filter(([, outcome]) => outcome?.failure);
        for (const [index] of dead) job.outcomes[index] = undefined;
        return this.#tell({ kind: 'reply', request: message.request, value: { replayed: dead.length } });
      }
      case 'read': {
        const { reader, order, credit, inputs } = message;
        this.jobs.get(message.job)!.readers.set(reader, { order, credit, inputs, next: 0 });
        return;
      }
      case 'readCredit': {
        const reader = [...this.jobs.values()].map((job) => job.readers.get(message.reader)).find(Boolean);
        if (reader) reader.credit += message.credit;
        return;
      }
      case 'unread':
        for (const job of this.jobs.values()) job.readers.delete(message.reader);
        return;
      case 'query':
      case 'wait': {
        const job = this.jobs.get(message.job);
        if (!job)
          return this.#tell({ kind: 'refusal', request: message.request, error: { code: 'SH1401', message: 'there is no such job' } });
        if (message.kind === 'wait') job.waiters.push(message.request);
        else this.#tell({ kind: 'reply', request: message.request, value: view(job) });
        return;
      }
      case 'find': {
        const job = [...this.jobs.values()].find(({ spec }) => spec.key === message.key);
        if (job) this.#tell({ kind: 'reply', request: message.request, value: { job: job.id } });
        else this.#tell({ kind: 'refusal', request: message.request, error: { code: 'SH1404', message: 'there is no such key' } });
        return;
      }
      case 'readLogs': {
        const lines = this.printed.filter(({ job }) => job === message.job);
        return this.#tell({ kind: 'printed', reader: message.reader, lines, done: true });
      }
      case 'deadLetters':
        return this.#tell({ kind: 'reply', request: message.request, value: { letters: [] } });
      default:
        throw new Error(`the client never sends ${message.kind}`);
    }
  }

  #submit({ spec, digest, request, lengths, body, read }: Of<'submit'>): void {
    const known = spec.key === undefined ? undefined : [...this.jobs.values()].find((job) => job.spec.key === spec.key);
    if (known && known.digest !== digest) {
      return this.#tell({ kind: 'refusal', request, error: { code: 'SH1402', message: 'the key belongs to another job' } });
    }
    const job = known ?? new ScriptedJob(`job${this.jobs.size + 1}`, structuredClone(spec), digest);
    this.jobs.set(job.id, job);
    if (lengths && body && !known) {
      this.#receive({ kind: 'inputs', job: job.id, stage: 0, from: 0, lengths, body });
      this.#receive({ kind: 'seal', job: job.id, stage: 0, total: lengths.length });
    }
    const { inputDigest } = job;
    const stages = [{ stage: 0, count: job.inputs.length, sealed: job.sealed, ...(inputDigest !== undefined && { digest: inputDigest }) }];
    this.#tell({ kind: 'reply', request, value: { job: job.id, deduplicated: known !== undefined, state: job.state, stages } });
    if (read) this.#receive({ kind: 'read', job: job.id, ...read });
  }

  #soon(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    setImmediate(() => {
      this.#isTurnDue = false;
      for (const job of this.jobs.values()) this.#turn(job);
    });
  }

  #turn(job: ScriptedJob): void {
    if (this.isEager) {
      for (let index = 0; index < job.inputs.length && !job.hasEnded; index++) {
        if (job.outcomes[index] === undefined) this.#runTask(job, index);
      }
    }
    this.#settle(job);
    const final = job.outcomes.filter(Boolean).length;
    this.#tell({ kind: 'flow', job: job.id, stage: 0, added: job.inputs.length, final });
    if (job.hasEnded) for (const request of job.waiters.splice(0)) this.#tell({ kind: 'reply', request, value: view(job) });
    for (const reader of job.readers.keys()) this.#deliver(job, reader);
  }

  #runTask(job: ScriptedJob, index: number): void {
    job.state = 'running';
    const results: unknown[] = [];
    let stageIndex = 0;
    try {
      const each = job.spec.stages.filter(({ feed }) => feed.kind !== 'fold');
      for (const stage of each) {
        results.push(runStage(stage, job.inputs[index]!, results));
        stageIndex++;
      }
      const last = each.at(-1)!;
      job.outcomes[index] = { bytes: last.definition ? encode(last, results.at(-1)) : job.inputs[index]! };
    } catch (error) {
      const { name, message } = error as Error;
      const task = job.spec.stages[stageIndex]!.definition?.name ?? job.spec.name;
      const failure: TaskFailure = {
        stage: stageIndex,
        index,
        task,
        attempts: 1,
        worker: 'w',
        code: 'SH2001',
        error: { name, message, stack: 'remote' },
      };
      job.outcomes[index] = { failure };
      const { failuresMax } = job.spec.stages[stageIndex]!;
      const failed = job.outcomes.filter((outcome) => outcome?.failure).length;
      if ('count' in failuresMax && failed > failuresMax.count) Object.assign(job, { state: 'failed', error: failure });
    }
    job.completion.push(index);
  }

  #settle(job: ScriptedJob): void {
    const isThrough = job.sealed && job.outcomes.filter(Boolean).length === job.inputs.length;
    if (isThrough && !job.hasEnded) job.state = 'succeeded';
  }

  #deliver(job: ScriptedJob, id: number): void {
    const reader = job.readers.get(id)!;
    const output = job.spec.stages[job.spec.output.stage]!;
    const shown: [number, Outcome][] = [];
    if (output.feed.kind === 'fold') {
      if (!job.hasEnded) return;
      const values = job.outcomes.filter((outcome) => outcome?.bytes);
      const combine = findDefinition(output.definition!.name)!;
      const upstream = findDefinition(job.spec.stages[output.feed.from]!.definition?.name ?? combine.name)!;
      const parts = values.map((outcome) => upstream.codec.decode(outcome!.bytes!));
      if (job.state === 'succeeded') shown.push([0, { bytes: encode(output, parts.length === 1 ? parts[0] : combine.run(parts, {})) }]);
    } else {
      const order = reader.order === 'input' ? [...job.inputs.keys()] : job.completion;
      for (; reader.next < order.length && shown.length < reader.credit; reader.next++) {
        const index = order[reader.next]!;
        const outcome = job.outcomes[index];
        if (outcome) shown.push([index, outcome]);
        else if (reader.order === 'input' && !job.hasEnded) break;
      }
      if (shown.length === 0 && !(job.hasEnded && reader.next >= order.length)) return;
    }
    reader.credit -= shown.length;
    const isDone =
      job.hasEnded &&
      (output.feed.kind === 'fold' || reader.next >= (reader.order === 'input' ? job.inputs.length : job.completion.length));
    if (isDone) job.readers.delete(id);
    this.#tell(delivery(job, id, shown, reader.inputs, isDone));
  }
}

function runStage(stage: StageSpec, input: Uint8Array, results: readonly unknown[]): unknown {
  const definition = stage.definition && findDefinition(stage.definition.name);
  if (stage.feed.kind === 'inputs') {
    const codec = definition?.codec ?? findDefinition('shoal.identity')!.codec;
    const value = codec.decode(input);
    return definition ? definition.run(value, {}) : value;
  }
  const values = (stage.args ?? []).map((arg) => pick(results[arg.stage], arg.path));
  const value =
    stage.template === undefined
      ? results[(stage.feed as { from: number }).from]
      : fillTemplate(Buffer.from(stage.template, 'base64'), values);
  return definition!.run(value, {});
}

function encode(stage: StageSpec, value: unknown): Uint8Array {
  const sink = new ByteSink();
  findDefinition(stage.definition!.name)!.codec.encode(value, sink);
  return sink.take();
}

function view(job: ScriptedJob): JobView {
  const succeeded = job.outcomes.filter((outcome) => outcome?.bytes).length;
  const failed = job.outcomes.filter((outcome) => outcome?.failure).length;
  const { output } = job.spec;
  const { definition } = job.spec.stages[output.stage]!;
  return {
    job: job.id,
    name: job.spec.name,
    state: job.state,
    version: 0,
    priority: job.spec.priority,
    output: { take: output.take, ...(definition && { definition }) },
    createdWallMs: 0,
    ...(job.reason !== undefined && { reason: job.reason }),
    ...(job.error && { error: job.error }),
    ...(job.sealed && { total: job.inputs.length }),
    queued: job.inputs.length - succeeded - failed,
    running: 0,
    succeeded,
    failed,
    skipped: 0,
    retried: 0,
    recovered: 0,
  };
}

function delivery(job: ScriptedJob, reader: number, shown: [number, Outcome][], withInputs: boolean, done: boolean): DeliverMessage {
  const inputs = withInputs ? shown.map(([index]) => job.inputs[index]!) : [];
  return {
    kind: 'deliver',
    reader,
    indices: Uint32Array.from(shown.flatMap(([index]) => [index, 1])),
    statuses: Uint32Array.from(shown, ([, { failure }]) => (failure ? 1 : 0)),
    attempts: Uint32Array.from(shown, () => 1),
    durations: Uint32Array.from(shown, () => 1500),
    workers: Uint32Array.from(shown, () => 0),
    workerNames: ['w'],
    lengths: Uint32Array.from(shown, ([, { bytes }]) => bytes?.length ?? 0),
    ...(withInputs && { inputLengths: Uint32Array.from(inputs, (input) => input.length) }),
    failures: shown.flatMap(([, { failure }]) => failure ?? []),
    done,
    body: [...shown.flatMap(([, { bytes }]) => bytes ?? []), ...inputs],
  };
}
