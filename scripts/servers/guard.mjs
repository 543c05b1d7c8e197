// @ts-check
/**
 * Ends a server when the process that started it is gone, whatever became of that process: a shell waits on a pipe that
 * only the starter holds open. It has a group of its own, so that Ctrl-C leaves it its work.
 */
import { spawn } from 'node:child_process';

const script = `
trap '' INT TERM HUP
known=
while read -r pids; do
  [ "$pids" = dismissed ] && exit
  known=$pids
done
kill -s "$3" -- "-$1" $known
kill -s CONT -- "-$1" $known
tries=0
while kill -s 0 -- "-$1" && [ $tries -lt 80 ]; do tries=$((tries + 1)); sleep 0.1; done
kill -s KILL -- "-$1" $known
rm -rf "$2"
`;

/**
 * @param {number} group
 * @param {string} folder
 * @param {NodeJS.Signals} signal
 */
export function guard(group, folder, signal) {
  const shell = spawn('/bin/sh', ['-c', script, 'shoal-guard', `${group}`, folder, signal.replace('SIG', '')], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.unref();
  const pipe = /** @type {import('node:net').Socket} */ (shell.stdin);
  pipe.unref();
  // Somebody ended the guard; the server still ends with `stop`.
  pipe.on('error', () => {});
  return {
    /** @param {readonly number[]} pids paused ones outside of the group, which no closing pipe would end */
    know(pids) {
      pipe.write(`${pids.join(' ')}\n`);
    },
    dismiss() {
      pipe.end('dismissed\n');
    },
  };
}
