/**
 * Whoever closes our pipe (`| head`) wanted no more: a command ends without a word. A server goes on, since it is there for
 * others than the reader of its log (journald, when it is restarted, or the disk that it is on, when it is full). What
 * else can't be written is an error, since whoever wanted it does not have all of it.
 */
import { constants } from 'node:os';
import { ShoalError } from '../lib/errors.ts';
import { type ReportOptions, report } from './report.ts';

const pipeClosedCode = 128 + constants.signals.SIGPIPE;

let isServer = false;

export function watchPipes(how: ReportOptions): void {
  const onError = (error: NodeJS.ErrnoException, tell: () => void): void => {
    if (isServer) return;
    if (error.code === 'EPIPE' || error.code === 'EIO') process.exit(pipeClosedCode);
    tell();
    process.exit(1);
  };
  process.stdout.on('error', (error: NodeJS.ErrnoException) => onError(error, () => report(unwritten(error), how)));
  // Of this there is nobody to tell.
  process.stderr.on('error', (error: NodeJS.ErrnoException) => onError(error, () => undefined));
}

function unwritten(error: NodeJS.ErrnoException): ShoalError {
  return new ShoalError('SH4020', 'what goes to stdout cannot be written, and is not complete', {
    why: error.message,
    from: 'where stdout leads: a file (>), or another program (|)',
    hint: error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'make room on that disk, or write to another one' : undefined,
    cause: error,
  });
}

export function outlivePipes(): void {
  isServer = true;
}
