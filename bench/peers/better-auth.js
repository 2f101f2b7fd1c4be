import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import pg from 'pg';

/**
 * better-auth with its API-key plugin, as its documents set it up for Postgres: keys hashed, a rate limit on every key
 * (one that nothing here reaches), a pool. Log, telemetry and clean-up after verifications are off, which makes it
 * quicker. Its secondary storage, in this process' memory and with the database behind it, was tried and is no quicker:
 * a verification still waits for its two updates.
 *
 * DATABASE_URL and POOL_SIZE come from the benchmark.
 */
export const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: Number(process.env.POOL_SIZE),
});

export const auth = betterAuth({
  baseURL: 'http://127.0.0.1',
  secret: 'only-for-the-benchmark-0123456789abcdef',
  database: pool,
  logger: { disabled: true },
  telemetry: { enabled: false },
  plugins: [apiKey({ rateLimit: { enabled: true, timeWindow: 86_400_000, maxRequests: 1_000_000_000 } })],
});
