/**
 * The lock file of a journal directory: a courtesy that tells a second opener who is there. It guards nothing:
 * two that get past it are kept apart by the segments themselves (recover.ts, committer.ts).
 *
 * A lock whose process is gone is taken over in silence: a coordinator killed with -9 starts again without a hand.
 */
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ShoalError } from '../../lib/errors.ts';
import { isInAnotherNamespace, markOfThisProcess, mayLive, type ProcessMark, parseMark } from '../../lib/process-life.ts';
import { errorCode } from './disk.ts';

interface Holder extends ProcessMark {
  /** Tells apart two openings by one process. */
  opening: string;
  /** It leads by an election, and so may another after it, while it may not know that yet. */
  isElected: boolean;
}

export interface Lock {
  /** Removes the lock file, if it is still ours. */
  release(): Promise<void>;
}

/** A process that was killed takes a moment to be gone, above all with much memory. */
const dyingMs = 1_000;
const pollMs = 50;

let openings = 0;

/** `elected`: from those that were elected before us. */
export type TakeOver = boolean | 'elected';

/** SH4006 if a living process holds the directory, unless it is to be taken from it. */
export async function lockDirectory(directory: string, options: { takeOver: TakeOver }): Promise<Lock> {
  const path = join(directory, 'lock');
  openings += 1;
  const mine: Holder = { ...markOfThisProcess(), opening: `${openings}`, isElected: options.takeOver === 'elected' };
  const text = `${JSON.stringify(mine)}\n`;
  const untilMs = performance.now() + dyingMs;
  while (!(await create(path, text))) {
    const found = await readText(path);
    if (found === undefined) continue;
    const holder = parse(found);
    if (holder !== undefined && !mayTake(holder, options.takeOver) && mayLive(holder)) {
      if (holder.pid === process.pid || performance.now() > untilMs) throw heldError(directory, path, holder);
      await setTimeout(pollMs);
      continue;
    }
    await removeIfStill(path, found, `${path}.${process.pid}-${openings}`);
  }
  return {
    release: async () => {
      if ((await readText(path)) === text) await unlink(path).catch(unlessMissing);
    },
  };
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.writeFile(text).finally(() => file.close());
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Moves the stale lock aside before removing it: of several that found it stale, the last must not remove the first's new one. */
async function removeIfStill(path: string, found: string, aside: string): Promise<void> {
  try {
    if ((await readText(path)) !== found) return;
    await rename(path, aside);
    await unlink(aside);
  } catch (error) {
    unlessMissing(error);
  }
}

function heldError(directory: string, path: string, holder: Holder): ShoalError {
  const { pid, host } = holder;
  const error = (where: string, hint: string, why?: string): ShoalError =>
    new ShoalError('SH4006', `the journal in ${directory} is in use by process ${pid}${where}`, { hint, why });
  if (host !== hostname()) {
    return error(` on ${host}`, `one machine at a time may use a file journal; if ${host} is gone for good, remove ${path}`);
  }
  if (isInAnotherNamespace(holder)) {
    return error(
      ' of another container',
      `stop that container first; if it is gone, or was this one before it was started again, remove ${path}`,
      'whether that process lives can’t be seen from here: this container counts other processes',
    );
  }
  return error('', `stop process ${pid} first, or give this one a journal directory of its own`);
}

/** An election has judged already whether its holder is gone or stands still. */
function mayTake(holder: Holder, takeOver: TakeOver): boolean {
  return takeOver === 'elected' ? holder.isElected : takeOver;
}

/** A lock that can't be read was being written when its process died, or is about to be: the segments decide then. */
function parse(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    const mark = parseMark(holder);
    return mark && { ...mark, opening: holder?.opening ?? '', isElected: holder?.isElected === true };
  } catch {
    return undefined;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    unlessMissing(error);
    return undefined;
  }
}

function unlessMissing(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error;
}
