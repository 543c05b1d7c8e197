/**
 * A simulated client: the real Connection, and a program over it that submits jobs, feeds them, reads, cancels, replays and
 * deletes them, loses its line, and may itself be killed and started again with what it had noted.
 */
import { Connection } from '../src/client/connection.ts';
import type { DeliverMessage, JobView, SubmitReply } from '../src/core/messages.ts';
import type { Outside } from '../src/lib/outside.ts';
import { Dice } from './chance.ts';
import type { JobScript } from './jobs.ts';
import type { Network } from './network.ts';
import { reached } from './probes.ts';
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

  constructor(options: ClientOptions) {
    this.options = options;
    this.node = options.node;
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
    const kinds = ['status', 'listJobs', 'listWorkers', 'listQueues', 'deadLetters'] as const;
    const kind = this.dice.pick(kinds);
    void this.connection.request({ kind, limit: 10 } as never).catch((error: unknown) => this.options.world.fail(error as Error));
    this.outside.after(300 + this.outside.randomBelow(3_000), () => this.askNowAndThen());
  }

  /** Until it has its answer, however often the coordinator has no room for it. */
  private async submit(job: JobScript): Promise<SubmitReply> {
    for (;;) {
      const { spec, digest, submission } = job;
      const along = job.isSmall ? packValues(job.inputs.map(inputValue)) : undefined;
      const inputs = along ? { lengths: along.lengths, body: [along.body] } : {};
      try {
        return await this.connection.request<SubmitReply>({ kind: 'submit', spec: structuredClone(spec), digest, submission, ...inputs });
      } catch (error) {
        if ((error as { code?: string }).code !== 'SH4003') throw error;
        reached('a submission is refused for want of room');
        await this.sleep(500);
      }
    }
  }

  private async live(job: JobScript): Promise<void> {
    const { watch, world } = this.options;
    if (job.startMs > world.nowMs) await this.sleep(job.startMs - world.nowMs);
    let reply: SubmitReply;
    try {
      reply = await this.submit(job);
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
    if (job.reads) this.read(job, this.dice.pick(['input', 'completion'] as const), this.dice.pick([2, 7, 1_000])).catch(this.ignore(job));
    if (job.cancelAfterMs !== undefined) this.outside.after(job.cancelAfterMs, () => this.cancel(job));
    try {
      await this.finish(job);
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
    this.connection.request({ kind: 'cancel', job: job.id!, reason: 'enough' }).catch(this.ignore(job));
    job.cancelAfterMs = undefined;
  }

  private feed(job: JobScript, reply: SubmitReply): void {
    if (job.isSmall) return;
    const id = job.id!;
    let from = reply.stages[0]!.count;
    const total = job.inputs.length;
    const step = (): void => {
      if (from >= total) {
        this.connection.feed({ kind: 'seal', job: id, stage: 0, total });
        return;
      }
      const count = Math.min(total - from, 1 + this.dice.below(8));
      const { lengths, body } = packValues(job.inputs.slice(from, from + count).map(inputValue));
      this.connection.feed({ kind: 'inputs', job: id, stage: 0, from, lengths, body: [body] });
      from += count;
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
      const { replayed } = await this.connection.request<{ replayed: number }>({ kind: 'replay', job: id });
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
    const unique = new Set(atoms);
    const isFold = model.spec.output.take === 'one';
    if (unique.size !== atoms.length) throw new Violation('I1', `${job.id} gives ${atoms.join()}: something twice`);
    if (!isFold && order.some((index, at) => at > 0 && index <= order[at - 1]!)) {
      throw new Violation('I1', `${job.id}, read in order, comes as ${order.join()}`);
    }
    if (view.state !== 'succeeded' || model.outcome !== 'succeeded') return;
    const foreign = atoms.filter((atom) => !job.expected.has(atom));
    if (foreign.length > 0) throw new Violation('I4', `${job.id} gives ${foreign.join()}, which nobody put in`);
    const isWhole = model.stages.every(({ tasks }) => tasks.every((task) => task.final === 'done'));
    if (isWhole && unique.size !== job.expected.size) {
      throw new Violation('I15', `${job.id} has ended well and gives ${atoms.join()} of ${[...job.expected].join()}`);
    }
    const { feed } = model.spec.stages[model.spec.output.stage]!;
    if (isFold && feed.kind === 'fold' && feed.ordered && !job.isSpread && atoms.some((atom, at) => at > 0 && atom < atoms[at - 1]!)) {
      throw new Violation('I4', `${job.id} folds in order and gives ${atoms.join()}`);
    }
    reached(isFold ? 'a fold is read and right' : 'all results are read and right');
  }

  private read(job: JobScript, order: 'input' | 'completion', credit: number): Promise<Read> {
    const { watch } = this.options;
    const read: Read = { indices: new Map(), atoms: [], order: [], isInOrder: order === 'input' };
    return new Promise((resolve, reject) => {
      const { connection } = this;
      const handle = connection.read(
        job.id!,
        {
          deliver: (message) => {
            watch.guard(() => this.onDelivered(job, message, read));
            if (message.statuses.length > 0) connection.readCredit(handle, message.statuses.length);
          },
          end: (error) => {
            connection.unread(handle);
            if (error) reject(error);
            else resolve(read);
          },
        },
        { order, credit, inputs: false },
      );
    });
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
      if (model && !model.isDropped) read.atoms.push(...watch.onDelivered(model, index, status, frames));
    }
  }
}
