// @ts-check
/**
 * What a test run leaves behind: files in the checkout, folders of ours in the temporary directory, processes that
 * run our code. Judged in CI only, where nobody else works in the same places at the same time.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

/**
 * @param {string} root
 * @returns {string[]}
 */
export function tracesIn(root) {
  const changed = execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('shoal-'));
  return [...changed, ...folders.map((name) => `${tmpdir()}/${name}`), ...processesOf(root)];
}

/**
 * Only where /proc says so; elsewhere none are seen.
 * @param {string} root
 */
function processesOf(root) {
  /** @type {string[]} */
  let ids = [];
  try {
    ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {}
  return ids.flatMap((id) => {
    try {
      const command = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return Number(id) !== process.pid && command.includes(`${root}dist/`) ? [`process ${id}: ${command}`] : [];
    } catch {
      return []; // Ended while we looked.
    }
  });
}
