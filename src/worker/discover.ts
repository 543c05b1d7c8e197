/**
 * What tasks a worker has, from the modules it was started with. They are loaded in a thread of its own, because user code
 * has no business in the process that keeps the leases; what is wrong with them shows at the start and not at night.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { ErrorRecord } from '../core/messages.ts';
import { entryUrl } from '../lib/entry.ts';
import { userFrames } from '../lib/error-text.ts';
import { ShoalError } from '../lib/errors.ts';

export type NamesAnswer = { names: string[] } | { module: string; error: ErrorRecord };

/** As long as a thread that is to run tasks may take. */
const loadMsDefault = 60_000;

/** File URLs of modules → names of their tasks. SH5012: one can't be loaded, or not in time, or together they define nothing. */
export async function discoverTasks(modules: readonly string[], loadMs = loadMsDefault): Promise<string[]> {
  if (modules.length === 0) return [];
  const thread = new Worker(entryUrl(import.meta.url, './runtime/names-entry.ts'), { workerData: modules });
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(tooSlow(modules, loadMs)), loadMs);
    });
    const answered = once(thread, 'message') as Promise<[NamesAnswer]>;
    const ended = once(thread, 'exit').then(([code]) => {
      throw new ShoalError('SH5012', 'the modules with the tasks end the process that loads them', {
        why: `exit code ${String(code)}`,
        hint: 'put what a program does into main(async () => { … })',
      });
    });
    ended.catch(() => undefined);
    const [answer] = await Promise.race([answered, ended, late]);
    if ('error' in answer) throw notLoadable(answer.module, answer.error);
    if (answer.names.length > 0) return answer.names;
    throw new ShoalError('SH5012', `${modules.map(pathOf).join(', ')} defines no tasks`, {
      hint: "define them at the top level: export const resize = task('resize', …)",
    });
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

function tooSlow(modules: readonly string[], loadMs: number): ShoalError {
  return new ShoalError('SH5012', `${modules.map(pathOf).join(', ')} could not be loaded within ${loadMs / 1000} s`, {
    why: 'something at the top level does not end',
    hint: 'put what a program does into main(async () => { … })',
  });
}

function notLoadable(module: string, error: ErrorRecord): ShoalError {
  return new ShoalError('SH5012', `${pathOf(module)} could not be loaded: ${error.message}`, {
    // Frames of the loader say nothing of the module.
    why: userFrames(error.stack ?? '', process.cwd())
      .map((frame) => `at ${frame}`)
      .join('\n'),
  });
}

function pathOf(module: string): string {
  return module.startsWith('file:') ? fileURLToPath(module) : module;
}
