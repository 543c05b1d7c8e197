/**
 * A simulated client: the real Connection, and a program over it that submits jobs, feeds them, reads, cancels, replays and
 * deletes them, loses its line, and may itself be killed and started again with what it had noted.
 */
import { Connection, type ReadAlong, type Request } from '../src/client/connection.ts';
import type { JobView, QueueInfo, ReplayReply, SubmitReply } from '../src/core/answers.ts';
import type { DeliverMessage } from '../src/core/messages.ts';
import type { Outside } from '../src/lib/outside.ts';
import { Dice } from './chance.ts';
import type { Gate } from './faults.ts';
import type { JobScript } from './jobs.ts';
import type { Network } from './network.ts';
import { reached } from './probes.ts';
import { programOf } from './programs.ts';
import { type Port, SimSession } from './session.ts';
import { each } from './slot.ts';
import { inputValue, packValues } from './values.ts';
import { Violation } from './violation.ts';
import type { Watch } from './watch.ts';
import type { SimNode, World } from './world.ts';

export interface ClientOptions {
  world: World;
  network: Network;
  watch: Watch;
  node: SimNode;
  ports: () => readonly Port[];
  jobs: readonly JobScript[];
}

type Change = Extract<Request, { kind: 'cancel' | 'replay' | 'purge' | 'setQueue' }>;

/** More than any job gives. */
const everything = 1e6;

function orTooLate(error: unknown): undefined {
  if ((error as { code?: string }).code !== 'SH1414') throw error;
}

interface Read {
  indices: Map<number, number>;
  atoms: number[];
  order: number[];
  isInOrder: boolean;
}

export class SimClient {
  readonly node: SimNode;
  private readonly options: ClientOptions;
  private connection!: Connection;
  private outside!: Outside;
  private dice!: Dice;
  private readonly pauses: Gate;
  private readonly drains: Gate;
  /** Noted: whoever pauses a queue has to see that it goes on. */
  private pausedQueue: string | undefined;
  /** Of this life. */
  private changes = 0;

  constructor(options: ClientOptions) {
    this.options = options;
    this.node = options.node;
    const { faults } = options.network;
    this.pauses = faults.gate('pauseQueue', options.node.name, 1);
    this.drains = faults.gate('drainAsked', options.node.name, 0.6);
  }

  get jobs(): readonly JobScript[] {
    return this.options.jobs;
  }

  get isDone(): boolean {
    return this.options.jobs.every((job) => job.isDone);
  }

  boot(): void {
    const { world, network, node, ports, jobs } = this.options;
    world.start(node);
    this.outside = world.outside(node);
    this.dice = new Dice(world.seed, `client/${node.name}/${node.life}`);
    this.connection = new Connection(new SimSession(network, node, this.outside, ports));
    for (const job of jobs) if (!job.isDone) this.follow(job);
    if (this.dice.chance(network.plan.rates.ask)) this.askNowAndThen();
    this.operate();
  }

  private follow(job: JobScript): void {
    const { life } = this.node;
    this.live(job).then(
      () => void (job.isDone = true),
      (error: unknown) => {
        if (this.node.life !== life) return;
        this.options.world.fail(error as Error);
      },
    );
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.outside.after(ms, resolve));
  }

  private askNowAndThen(): void {
    const kinds = ['status', 'listJobs', 'listWorkers', 'listQueues', 'deadLetters', 'query', 'listTasks', 'getTask', 'explain'] as const;
    const kind = this.dice.pick(kinds);
    const ids = this.jobs.flatMap(({ id }) => id ?? []);
    const isAboutJob = kind === 'query' || kind === 'listTasks' || kind === 'getTask' || kind === 'explain';
    if (!isAboutJob)
      this.connection.request({ kind, limit: 10 } as never).catch((error: unknown) => this.options.world.fail(error as Error));
    else if (ids.length > 0) {
      const about = { kind, job: this.dice.pick(ids), limit: 10, stage: 0, index: 0 };
      this.connection.request(about as never).catch((error: unknown) => {
        // There may be no such task yet.
        if ((error as { code?: string }).code !== 'SH1409') this.ignoreAll(error);
      });
    }
    this.outside.after(300 + this.outside.randomBelow(3_000), () => this.askNowAndThen());
  }

  /** An operator pauses a queue for a while, and drains a worker. */
  private operate(): void {
    const { network } = this.options;
    const { stormMs } = network.plan;
    if (this.pausedQueue !== undefined) this.resume();
    const pause = this.pauses.stroke();
    if (pause) {
      this.outside.after(pause.between(0, stormMs / 2), () => {
        if (this.pausedQueue !== undefined || network.isCalm) return;
        const queue = (this.pausedQueue = pause.pick(['default', 'other']));
        const goOn = (): void => void this.outside.after(pause.between(100, 6_000), () => this.resume());
        void this.pause(queue, pause.chance(0.5)).then(goOn, this.ignoreAll);
      });
    }
    const drain = this.drains.stroke();
    if (!drain) return;
    this.outside.after(drain.between(0, stormMs), () => {
      if (network.isCalm) return;
      const worker = `w${1 + drain.below(network.plan.workers)}`;
      this.connection.request({ kind: 'drainWorker', worker }).then(() => reached('a worker is asked to drain'), this.ignoreAll);
    });
  }

  private async pause(queue: string, looks: boolean): Promise<void> {
    if (!looks) return this.change({ kind: 'setQueue', queue, paused: true });
    const queues = await this.connection.request<QueueInfo[]>({ kind: 'listQueues' });
    const expectedVersion = queues.find((each) => each.queue === queue)?.version ?? 0;
    await this.change({ kind: 'setQueue', queue, paused: true, expectedVersion }).catch(orTooLate);
  }

  private resume(): void {
    const queue = this.pausedQueue!;
    this.change({ kind: 'setQueue', queue, paused: false }).then(() => void (this.pausedQueue = undefined), this.ignoreAll);
  }

  /** It asked for something that is not there (any more). */
  private readonly ignoreAll = (error: unknown): void => {
    const { code } = error as { code?: string };
    if (code !== 'SH1401' && code !== 'SH1410') this.options.world.fail(error as Error);
  };

  /** Until it has its answer, however often the coordinator has no room for it. */
  private async submit(job: JobScript, along?: ReadAlong): Promise<SubmitReply> {
    for (;;) {
      const { spec, digest, submission } = job;
      const packed = job.isSmall ? packValues(job.inputs.get(0)!.map(inputValue)) : undefined;
      const inputs = packed ? { lengths: packed.lengths, body: [packed.body] } : {};
      const message = { kind: 'submit', spec: structuredClone(spec), digest, submission, ...inputs } as const;
      try {
        return await (along ? this.connection.submitAndRead(message, along) : this.connection.request<SubmitReply>(message));
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === 'SH1408') await this.upload(job);
        else if (code === 'SH4003') {
          reached('a submission is refused for want of room');
          await this.sleep(500);
        } else throw error;
      }
    }
  }

  /** Its program went with another job, or was never there. */
  private async upload({ spec }: JobScript): Promise<void> {
    const hash = spec.stages.find(({ definition }) => definition?.bundle !== undefined)!.definition!.bundle!;
    await this.connection.request({ kind: 'putBundle', hash, name: 'a program', body: [programOf(hash)] });
  }

  private async live(job: JobScript): Promise<void> {
    const { watch, world } = this.options;
    if (job.startMs > world.nowMs) await this.sleep(job.startMs - world.nowMs);
    let reply: SubmitReply;
    const along = job.reads && this.dice.chance(0.5) ? this.reader(job, 'completion', everything) : undefined;
    along?.read.catch(() => undefined);
    try {
      reply = await this.submit(job, along);
    } catch (error) {
      const { key } = job.spec;
      const isTaken = [...watch.model.jobs.values()].some((other) => other.spec.key === key && other.digest !== job.digest);
      if (key !== undefined && isTaken && (error as { code?: string }).code === 'SH1402') {
        reached('a key with other inputs is refused');
        return;
      }
      throw error;
    }
    if (reply.deduplicated) reached('a key stands for a job that is there');
    if (job.id !== undefined && job.id !== reply.job && !watch.model.jobs.get(job.id)?.isDropped) {
      throw new Violation('I10', `submission ${job.submission} is ${reply.job} now and was ${job.id}`);
    }
    job.id = reply.job;
    this.feed(job, reply);
    if (job.purges) this.purge(job);
    if (job.reads && !along)
      this.read(job, this.dice.pick(['input', 'completion'] as const), this.dice.pick([2, 7, 1_000])).catch(this.ignore(job));
    if (job.cancelAfterMs !== undefined) this.outside.after(job.cancelAfterMs, () => this.cancel(job));
    if (job.competesAfterMs !== undefined) this.compete(job).catch(this.ignore(job));
    try {
      await this.finish(job);
      if (!along) return;
      await along.read;
      reached('a job is read from its submission on');
    } catch (error) {
      this.ignore(job)(error);
    }
  }

  /** A job that somebody has deleted, or that went after it was read, answers nothing more. */
  private ignore(job: JobScript): (error: unknown) => void {
    return (error) => {
      const { code } = error as { code?: string };
      // What it is told the watch has judged.
      const isGone = job.spec.keepMs === 0 || this.options.watch.model.jobs.get(job.id!)?.isDropped === true;
      if (!(isGone && code === 'SH1401')) this.options.world.fail(error as Error);
    };
  }

  private cancel(job: JobScript): void {
    reached('a client cancels');
    this.change({ kind: 'cancel', job: job.id!, reason: 'enough' }).catch(this.ignore(job));
    job.cancelAfterMs = undefined;
  }

  private purge(job: JobScript): void {
    job.purges = false;
    this.outside.after(this.dice.exponential(2_000), () => {
      this.change({ kind: 'purge', job: job.id! }).catch(this.ignore(job));
    });
  }

  /** Under a name that no other change has, in whatever life of this client. */
  private change<T>(message: Change): Promise<T> {
    return this.connection.request<T>({ ...message, change: `${this.node.name}.${this.node.life}.${++this.changes}` });
  }

  /** Two look at the job, and both do something to what they saw: at most one is in time. */
  private async compete(job: JobScript): Promise<void> {
    await this.sleep(job.competesAfterMs!);
    job.competesAfterMs = undefined;
    const id = job.id!;
    const { version: expectedVersion } = await this.connection.request<JobView>({ kind: 'query', job: id });
    const cancel = (): Promise<unknown> => this.change({ kind: 'cancel', job: id, reason: 'enough of it', expectedVersion });
    const purge = (): Promise<unknown> => this.change({ kind: 'purge', job: id, expectedVersion });
    const both = this.dice.pick([
      [cancel, cancel],
      [cancel, purge],
      [purge, cancel],
    ]);
    await Promise.all(both.map((change) => change().catch(orTooLate)));
  }

  /** Whoever is too late looks again. */
  private async replay(job: JobScript): Promise<number> {
    const id = job.id!;
    if (!job.competesInReplay) return (await this.change<ReplayReply>({ kind: 'replay', job: id })).replayed;
    for (;;) {
      const { version: expectedVersion } = await this.connection.request<JobView>({ kind: 'query', job: id });
      const index = this.dice.below(4);
      const purge = this.change({ kind: 'purge', job: id, stage: 0, index, expectedVersion }).catch(orTooLate);
      const [, reply] = await Promise.all([purge, this.change<ReplayReply>({ kind: 'replay', job: id, expectedVersion }).catch(orTooLate)]);
      if (reply) return reply.replayed;
    }
  }

  private feed(job: JobScript, reply: SubmitReply): void {
    if (job.isSmall) return;
    for (const { stage, count } of reply.stages) this.feedStage(job, stage, count);
  }

  private feedStage(job: JobScript, stage: number, count: number): void {
    const id = job.id!;
    const inputs = job.inputs.get(stage)!;
    const total = inputs.length;
    let from = count;
    const step = (): void => {
      if (from >= total) {
        this.connection.feed({ kind: 'seal', job: id, stage, total });
        return;
      }
      const more = Math.min(total - from, 1 + this.dice.below(8));
      const { lengths, body } = packValues(inputs.slice(from, from + more).map(inputValue));
      this.connection.feed({ kind: 'inputs', job: id, stage, from, lengths, body: [body] });
      from += more;
      this.outside.after(this.dice.exponential(100), step);
    };
    step();
  }

  private async finish(job: JobScript): Promise<void> {
    const { watch } = this.options;
    const id = job.id!;
    let view = await this.connection.ended(id);
    while (view.state !== 'succeeded' && job.replays > 0) {
      job.replays--;
      await this.sleep(this.dice.between(0, 1_500));
      const replayed = await this.replay(job);
      // It may have ended before all its inputs were in: whoever replays it feeds it again.
      this.feed(job, await this.submit(job));
      if (replayed === 0) break;
      view = await this.connection.ended(id);
    }
    if (job.cancelAfterMs !== undefined) await this.sleep(Math.min(3_000, job.cancelAfterMs));
    await this.verify(job, view);
    if (!job.deletes) return;
    await this.connection.request({ kind: 'deleteJob', job: id });
    if (watch.model.jobs.get(id)?.isDropped !== true) throw new Violation('I3', `${id} is said to be deleted, and is not`);
    reached('a job is deleted');
  }

  /** Reads all of it once more, when it is over, and looks whether it is what came in. */
  private async verify(job: JobScript, view: JobView): Promise<void> {
    const { watch } = this.options;
    const { atoms, order } = await this.read(job, 'input', this.dice.pick([5, 1_000]));
    const model = watch.model.jobs.get(job.id!);
    if (!model || model.isDropped) return;
    const { expected } = job;
    if (!expected) return reached('a graph is read');
    const unique = new Set(atoms);
    const isFold = model.spec.output.take === 'one';
    if (unique.size !== atoms.length) throw new Violation('I1', `${job.id} gives ${atoms.join()}: something twice`);
    if (!isFold && order.some((index, at) => at > 0 && index <= order[at - 1]!)) {
      throw new Violation('I1', `${job.id}, read in order, comes as ${order.join()}`);
    }
    if (view.state !== 'succeeded' || model.outcome !== 'succeeded') return;
    const foreign = atoms.filter((atom) => !expected.has(atom));
    if (foreign.length > 0) throw new Violation('I4', `${job.id} gives ${foreign.join()}, which nobody put in`);
    const isWhole = model.stages.every(({ tasks }) => tasks.every((task) => task.final === 'done'));
    if (isWhole && unique.size !== expected.size) {
      throw new Violation('I15', `${job.id} has ended well and gives ${atoms.join()} of ${[...expected].join()}`);
    }
    const { feed } = model.spec.stages[model.spec.output.stage]!;
    if (isFold && feed.kind === 'fold' && feed.ordered && !job.isSpread && atoms.some((atom, at) => at > 0 && atom < atoms[at - 1]!)) {
      throw new Violation('I4', `${job.id} folds in order and gives ${atoms.join()}`);
    }
    reached(isFold ? 'a fold is read and right' : 'all results are read and right');
  }

  private read(job: JobScript, order: 'input' | 'completion', credit: number): Promise<Read> {
    const { connection } = this;
    const reader = this.reader(job, order, credit, (count) => connection.readCredit(handle, count));
    const handle = connection.read(job.id!, reader, reader.how);
    reader.close = () => connection.unread(handle);
    return reader.read;
  }

  private reader(
    job: JobScript,
    order: 'input' | 'completion',
    credit: number,
    onTaken: (count: number) => void = () => undefined,
  ): ReadAlong & { read: Promise<Read> } {
    const { watch } = this.options;
    const read: Read = { indices: new Map(), atoms: [], order: [], isInOrder: order === 'input' };
    let end: (error: Error | undefined) => void = () => undefined;
    const reader: ReadAlong & { read: Promise<Read> } = {
      how: { order, credit, inputs: false },
      read: new Promise((resolve, reject) => (end = (error) => (error ? reject(error) : resolve(read)))),
      deliver: (message) => {
        watch.guard(() => this.onDelivered(job, message, read));
        if (message.statuses.length > 0) onTaken(message.statuses.length);
      },
      end: (error) => {
        reader.close();
        if (!error) watch.guard(() => this.checkWhole(job, read));
        end(error);
      },
      close: () => undefined,
    };
    return reader;
  }

  /** Told its end, a reader was given all that there is; a replay may have gone on since. */
  private checkWhole(job: JobScript, { indices }: Read): void {
    const model = this.options.watch.model.jobs.get(job.id!);
    if (!model || model.isDropped || model.replays > 0) return;
    const { stage, take } = model.spec.output;
    if (take === 'one') return;
    model.stages[stage]!.tasks.forEach(({ final, wasLost }, index) => {
      // A leader may have skipped what expired with its job, and of that nobody is told.
      const isOwed = final === 'done' || final === 'dead' || (final === 'expired' && !wasLost);
      if (isOwed && !indices.has(index))
        throw new Violation('I1', `${job.id}/${index} is ${final}, and a reader that has come to its end was not given it`);
    });
    reached('a reader has come to its end');
  }

  private onDelivered(job: JobScript, message: DeliverMessage, read: Read): void {
    const { watch } = this.options;
    const model = watch.model.jobs.get(job.id!);
    const whole = Buffer.concat(message.body);
    let offset = 0;
    let frame = 0;
    let at = 0;
    for (const index of each(message.indices)) {
      const status = message.statuses[at]!;
      const frames: Uint8Array[] = [];
      for (let count = message.counts ? message.counts[at]! : 1; count > 0; count--) {
        const length = message.lengths[frame++]!;
        if (status === 0) frames.push(whole.subarray(offset, offset + length));
        offset += length;
      }
      at++;
      // Told as failed, and again when a replay has brought it back.
      if (read.indices.get(index) === 0 || (read.indices.has(index) && (model?.replays ?? 0) === 0)) {
        throw new Violation('I1', `${job.id}/${index} is delivered twice to one reader`);
      }
      const last = read.order.at(-1);
      if (read.isInOrder && (model?.replays ?? 0) === 0 && last !== undefined && index < last) {
        throw new Violation('I1', `${job.id}/${index} is delivered behind ${last} to a reader in order`);
      }
      read.indices.set(index, status);
      read.order.push(index);
      if (model && !model.isDropped) for (const atom of watch.onDelivered(model, index, status, frames)) read.atoms.push(atom);
    }
  }
}
