/** The package as users get it: packed, and installed from the tarball in an empty project. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

export interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end; a failing exit is a result like any other. */
export function run(command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    // What the machine says of Shoal must not decide a test.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_') && name !== 'NODE_OPTIONS');
    // Bundles of programs in a temporary folder go with it.
    const cache = cwd !== root && cwd.startsWith(tmpdir()) ? { SHOAL_CACHE: join(cwd, '.shoal-cache') } : {};
    const options = { cwd, env: { ...Object.fromEntries(inherited), ...cache, ...env }, maxBuffer: 16 << 20 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error);
      else resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

export interface Packed {
  /** The tarball's files, without the leading `package/`. */
  readonly files: readonly string[];
  /** An empty project that has the package and nothing else. */
  readonly project: string;
  remove(): Promise<void>;
}

export async function installPacked(): Promise<Packed> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-packed-'));
  // The build is there already, and prepack would make another.
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root);
  if (packed.status !== 0) throw new Error(packed.stderr);
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }];
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', version: '1.0.0', type: 'module', private: true }));
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  const installed = await run('npm', ['install', ...flags, join(folder, filename)], folder);
  if (installed.status !== 0) throw new Error(installed.stderr);
  return {
    files: files.map(({ path }) => path),
    project: folder,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
