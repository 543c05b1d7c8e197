/** Where jobs and tokens live on this machine, if they do. */
import { closeSync, existsSync, fdatasyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inspectJournal, shownJournal } from '../../journal-of.ts';
import { configHome } from '../../lib/folders.ts';
import { readTokens } from '../../lib/tokens.ts';
import type { Finding } from './doctor.ts';
import { failed } from './doctor-cluster.ts';
import { settingFinding } from './doctor-setting.ts';
import { size } from './output.ts';

/** `where`: as coordinators are given it; without, the folder that they take by themselves, if it is there. */
export async function examineJournal(where: string | undefined, cluster: string): Promise<Finding[]> {
  return [...(where === undefined ? [] : await examineServer(where, cluster)), ...examineFolders(where)];
}

/** Nothing, if it is in memory or in a folder. */
async function examineServer(where: string, cluster: string): Promise<Finding[]> {
  try {
    const startMs = performance.now();
    const settings = await inspectJournal(where, cluster);
    if (!settings) return [];
    const what = `${shownJournal(where)} answered; connecting and that took ${(performance.now() - startMs).toFixed(0)} ms`;
    return [{ check: 'journal', status: 'ok', what }, ...settings.map((setting) => settingFinding('journal', setting))];
  } catch (error) {
    return [failed('journal', error)];
  }
}

function examineFolders(where: string | undefined): Finding[] {
  const given = where === undefined ? undefined : /^file:(?:\/\/)?(.+)$/.exec(where)?.[1];
  const folder = resolve(given ?? '.shoal');
  const isLooked = (where === undefined || given !== undefined) && existsSync(folder);
  const missing: Finding = { check: 'journal', status: 'ok', what: `${folder} is not there yet; a coordinator makes it` };
  return [
    ...(given !== undefined && !isLooked ? [missing] : []),
    ...(isLooked ? examineFolder(folder) : []),
    ...[...(isLooked ? [folder] : []), configHome()].flatMap(tokensIn),
  ];
}

function examineFolder(folder: string): Finding[] {
  if (!statSync(folder).isDirectory())
    return [{ check: 'journal', status: 'fail', what: `${folder} is no folder`, try: '--journal file:DIR' }];
  return [space(folder), ...access(folder), disk(folder)];
}

const freeBytesMin = 2 ** 30;

function space(folder: string): Finding {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= freeBytesMin) return { check: 'journal', status: 'ok', what: `${folder}, ${size(free)} free` };
  const advice = 'free some space: without any no new job is taken';
  return { check: 'journal', status: 'warn', what: `${folder} has only ${size(free)} free`, try: advice };
}

function access(folder: string): Finding[] {
  const mode = statSync(folder).mode & 0o777;
  if (process.platform === 'win32' || (mode & 0o077) === 0) return [];
  const what = `${folder} can be ${(mode & 0o022) === 0 ? 'looked into' : 'written to'} by others (mode ${mode.toString(8).padStart(4, '0')})`;
  return [{ check: 'permissions', status: (mode & 0o022) === 0 ? 'warn' : 'fail', what, try: `chmod 700 ${folder}` }];
}

function tokensIn(folder: string): Finding[] {
  const file = join(folder, 'tokens');
  if (!existsSync(file)) return [];
  try {
    readTokens(file);
    return [{ check: 'tokens', status: 'ok', what: `${file} is for its owner alone` }];
  } catch (error) {
    return [failed('tokens', error)];
  }
}

const syncs = 20;
const slowSyncMs = 20;

/** What each commit costs at least. */
function disk(folder: string): Finding {
  const file = join(folder, `.doctor-${process.pid}`);
  try {
    const median = medianSyncMs(file);
    const what = `a commit costs at least ${median.toFixed(2)} ms (fdatasync)`;
    if (median < slowSyncMs) return { check: 'disk', status: 'ok', what };
    return { check: 'disk', status: 'warn', what, try: 'a faster disk for the journal' };
  } catch (error) {
    const what = `${folder} cannot be written to: ${(error as Error).message}`;
    return { check: 'disk', status: 'fail', what, try: `ls -ld ${folder}; chown or chmod it, or free some space` };
  } finally {
    rmSync(file, { force: true });
  }
}

function medianSyncMs(file: string): number {
  const handle = openSync(file, 'w', 0o600);
  try {
    const times = Array.from({ length: syncs }, () => {
      writeSync(handle, 'x'.repeat(512));
      const startMs = performance.now();
      fdatasyncSync(handle);
      return performance.now() - startMs;
    });
    return times.sort((a, b) => a - b)[syncs / 2]!;
  } finally {
    closeSync(handle);
  }
}
