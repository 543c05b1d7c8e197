/** From a built spec to an open job: options into the spec, keys, digests, and the inputs that are known at once. */
import { createHash } from 'node:crypto';
import type { SubmitReply } from '../core/answers.ts';
import type { JobSpec, StageSpec } from '../core/spec.ts';
import { ShoalError } from '../lib/errors.ts';
import { findDefinition } from '../tasks/definition.ts';
import { insideTask } from '../tasks/where-am-i.ts';
import type { ClusterHandle } from './cluster.ts';
import { Conflict } from './conflict.ts';
import type { Connection, FlowSink, ReadAlong, Request } from './connection.ts';
import { RollingDigest, specDigest } from './digests.ts';
import { otherInputs } from './feeder.ts';
import { type JobTerms, keepMsNormal } from './options.ts';
import { type ProgramBundle, programHook } from './program.ts';
import { type BuiltSpec, defaultCodecName } from './spec-builder.ts';

export interface OpenJob {
  connection: Connection;
  cluster: ClusterHandle;
  id: string;
  name: string;
  isDeduplicated: boolean;
  isKeyed: boolean;
  /** Of one that has a key. */
  conflict?: Conflict | undefined;
  stages: SubmitReply['stages'];
}

/** One message's worth of inputs. */
const batchTasksMax = 16_384;
const batchBytesMax = 1024 * 1024;

/** Jobs per name that got an automatic key in this process. */
const ordinals = new Map<string, number>();

/**
 * The key of a job that brought none, where the program is run with a journal. `inputs`: given where they are known,
 * because jobs that are started as results come in have no order that a second run would repeat.
 */
export function automaticKey(cluster: ClusterHandle, name: string, terms: JobTerms, inputs?: Uint8Array): string | undefined {
  const hook = programHook();
  if (!hook?.autoKey || terms.key !== undefined || !cluster.isDefault) return undefined;
  const full = inputs === undefined ? name : `${name}@${createHash('sha256').update(inputs).digest('hex').slice(0, 16)}`;
  const ordinal = ordinals.get(full) ?? 0;
  ordinals.set(full, ordinal + 1);
  return hook.autoKey(ordinal, full);
}

/** SH1104. Called first by everything that starts a job, or something that runs jobs. */
export function refuseInsideTask(name: string, what = 'tasks'): void {
  if (!insideTask()) return;
  throw new ShoalError('SH1104', `${name}: ${what} can't be started while a worker loads the module or from inside a task`, {
    hint: 'put what starts the work into main(async () => { … })',
  });
}

/** What goes with the submission of a job without a key. */
export interface Along {
  /** The one input of stage 0. */
  input: Uint8Array;
  /** Reads the job from the start. */
  reader: ReadAlong | undefined;
}

/** A submission whose job has no id yet. */
interface UnderWay {
  cluster: ClusterHandle;
  /** Called with the id as soon as it is known. */
  onOpen?: (job: string) => void;
}

const underWay = new Set<UnderWay>();

/** Calls `onOpen` with the job of each submission to the cluster that is under way now, and gives their number. */
export function whenOpened(cluster: ClusterHandle, onOpen: (job: string) => void): number {
  const found = [...underWay].filter((each) => each.cluster === cluster);
  for (const each of found) each.onOpen = onOpen;
  return found.length;
}

export async function openJob(cluster: ClusterHandle, ...rest: ToOpen): Promise<OpenJob> {
  const entry: UnderWay = { cluster };
  underWay.add(entry);
  try {
    const job = await openNow(cluster, ...rest);
    entry.onOpen?.(job.id);
    return job;
  } finally {
    underWay.delete(entry);
  }
}

type ToOpen = [name: string, built: BuiltSpec, terms: JobTerms, autoKey?: string, along?: Along];

async function openNow(cluster: ClusterHandle, ...[name, built, terms, autoKey, along]: ToOpen): Promise<OpenJob> {
  const connection = cluster.connection ?? (await cluster.open());
  const key = terms.key ?? autoKey;
  const stages = cluster.isRemote ? built.stages.map(placed) : built.stages;
  const spec: JobSpec = { name, stages, output: built.output, ...terms };
  if (autoKey !== undefined) {
    spec.key = autoKey;
    // Running again has to find it.
    if (spec.keepMs === 0) spec.keepMs = keepMsNormal;
  }
  const digest = key === undefined ? '' : specDigest(spec);
  const inputs = along && { lengths: Uint32Array.of(along.input.length), body: [along.input] };
  const reply = await submitWithProgram(connection, { kind: 'submit', spec, digest, ...inputs }, along?.reader);
  const hasEnded = reply.state === 'failed' || reply.state === 'cancelled' || reply.state === 'expired';
  if (autoKey !== undefined && reply.deduplicated && hasEnded) await connection.request({ kind: 'replay', job: reply.job });
  cluster.started(reply.job);
  if (reply.hasOtherCode === true) tellOtherCode(cluster, key!, name, reply.job);
  return {
    connection,
    cluster,
    id: reply.job,
    name,
    isDeduplicated: reply.deduplicated,
    isKeyed: key !== undefined,
    conflict: key === undefined ? undefined : new Conflict(),
    stages: reply.stages,
  };
}

/** Not in silence: whoever changed the program may expect the results of what it is now. */
function tellOtherCode({ address }: ClusterHandle, key: string, name: string, job: string): void {
  const text =
    `${name}: the key ${JSON.stringify(key)} stands for job ${job}, which was submitted with other code: ` +
    'what is done was done by that; take another key, or delete that job, to run all of it anew';
  const hook = programHook();
  if (hook?.tell) hook.tell('warning', text, { jobs: [job], address });
  else if (process.env.SHOAL_QUIET !== '1') process.stderr.write(`shoal: ${text}\n`);
}

/** For workers elsewhere: the program that has it, or its name alone. Paths of this machine mean nothing to them. */
function placed(stage: StageSpec): StageSpec {
  const { definition } = stage;
  if (!definition) return stage;
  const { name, module } = definition;
  const bundle = programHook()?.bundle;
  const isOfBundle = bundle !== undefined && module === bundle.url;
  if (isOfBundle && bundle.tasks?.has(name) === false) throw definedTooLate(name);
  const codec = findDefinition(name)?.codec.name ?? defaultCodecName;
  return {
    ...stage,
    definition: {
      name,
      ...(isOfBundle && { bundle: bundle.hash }),
      ...(codec !== defaultCodecName && { codec }),
    },
  };
}

/** No worker would ever have it: its job would wait for good. */
function definedTooLate(name: string): ShoalError {
  return new ShoalError('SH5002', `no worker can have the task "${name}"`, {
    why: 'it was defined after main() had begun, and workers load the program without running its main()',
    hint: 'define tasks at the top level of the program, so that loading it is enough',
  });
}

/** The program goes ahead of the first job that needs it, and again if the coordinator has let go of it meanwhile. */
async function submitWithProgram(
  connection: Connection,
  message: Extract<Request, { kind: 'submit' }>,
  reader: ReadAlong | undefined,
): Promise<SubmitReply> {
  const bundle = programHook()?.bundle;
  const needsBundle = bundle && message.spec.stages.some(({ definition }) => definition?.bundle === bundle.hash);
  for (let tries = 1; ; tries++) {
    if (needsBundle) await upload(connection, bundle);
    try {
      return await (reader ? connection.submitAndRead(message, reader) : connection.request<SubmitReply>(message));
    } catch (error) {
      if (!needsBundle || tries === 3 || (error as ShoalError).code !== 'SH1408') throw error;
      uploads.delete(connection);
    }
  }
}

const uploads = new WeakMap<Connection, Promise<void>>();

function upload(connection: Connection, bundle: ProgramBundle): Promise<void> {
  let uploaded = uploads.get(connection);
  if (!uploaded) {
    uploaded = uploadOnce(connection, bundle);
    uploads.set(connection, uploaded);
    uploaded.catch(() => uploads.delete(connection));
  }
  return uploaded;
}

async function uploadOnce(connection: Connection, { hash, name, read }: ProgramBundle): Promise<void> {
  const { known } = await connection.request<{ known: boolean }>({ kind: 'hasBundle', hash });
  if (!known) await connection.request({ kind: 'putBundle', hash, name, body: [await read()] });
}

/** Sends inputs that are all there, and seals; SH1403 if the job has others, as a throw or as its conflict. */
export function feedFrames(job: OpenJob, stage: number, frames: readonly Uint8Array[]): void {
  const known = job.isDeduplicated ? job.stages.find((each) => each.stage === stage) : undefined;
  const digest = job.isKeyed ? new RollingDigest() : undefined;
  const { connection, id } = job;
  let from = 0;
  const count = known?.count ?? 0;
  if (known && (count > frames.length || (known.sealed && count !== frames.length))) {
    throw otherInputs(job.name, `there were ${count} inputs, now there are ${frames.length}`);
  }
  if (known && count > 0) {
    const { lengths, body } = joined(frames.slice(0, count));
    digest?.add(lengths, body);
    if (known.digest !== undefined && known.digest !== digest?.value) throw otherInputs(job.name, 'they are not what they were');
    from = count;
  }
  if (known?.sealed) return;
  const feeder = digest && watchConflict(job, stage);
  while (from < frames.length) {
    const { lengths, body } = joined(frames.slice(from, batchEnd(frames, from)));
    const marks = digest?.add(lengths, body);
    const keyed = digest && { digest: digest.value, feeder: feeder!, marks: marks! };
    connection.feed({ kind: 'inputs', job: id, stage, from, lengths, body: [body], ...keyed });
    from += lengths.length;
  }
  // Its answer says that all of them have been compared.
  connection.feed({
    kind: 'seal',
    job: id,
    stage,
    total: frames.length,
    ...(digest && { feeder: feeder!, mark: digest.mark, confirm: true }),
  });
}

/** Gives the number to feed under. */
function watchConflict({ connection, id, name, conflict }: OpenJob, stage: number): number {
  const feeder = connection.newFeeder();
  const onFlow: FlowSink = (flow) => {
    if (flow.stage !== stage || (flow.conflict !== undefined && flow.feeder !== feeder)) return;
    if (flow.conflict !== undefined) conflict?.found(otherInputs(name, flow.conflict));
    if (flow.conflict !== undefined || flow.sealed) connection.offFlow(id, onFlow);
  };
  connection.onFlow(id, onFlow);
  return feeder;
}

function batchEnd(frames: readonly Uint8Array[], from: number): number {
  let to = from;
  for (let bytes = 0; to < frames.length && to - from < batchTasksMax && (to === from || bytes < batchBytesMax); to++)
    bytes += frames[to]!.length;
  return to;
}

function joined(frames: readonly Uint8Array[]): { lengths: Uint32Array; body: Uint8Array } {
  if (frames.length === 1) return { lengths: Uint32Array.of(frames[0]!.length), body: frames[0]! };
  const lengths = Uint32Array.from(frames, (frame) => frame.length);
  const body = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const frame of frames) {
    body.set(frame, at);
    at += frame.length;
  }
  return { lengths, body };
}
