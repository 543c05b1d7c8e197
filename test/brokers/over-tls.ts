/** Trust in a certificate is given to a process when it starts: `shoal doctor` is that process. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const fileOf = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Made for localhost, and signed by nobody else. */
export const tls = { cert: fileOf('src/api/fixtures/localhost.cert.pem'), key: fileOf('src/api/fixtures/localhost.key.pem') };

/** What it finds about a broker: `ok …`, `warn …`, `fail …`. */
export async function doctor(broker: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const stdout = await new Promise<string>((resolve) => {
    const args = [fileOf('dist/cli/bin.js'), 'doctor', '--json', '--broker', broker];
    // It ends with 1 where something is wrong.
    execFile(process.execPath, args, { env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, ...env } }, (_error, text) => resolve(text));
  });
  const { checks } = JSON.parse(stdout) as { checks: { check: string; status: string; what: string; try?: string }[] };
  return checks.filter(({ check }) => check === 'broker').map(({ status, what }) => `${status} ${what}`);
}
