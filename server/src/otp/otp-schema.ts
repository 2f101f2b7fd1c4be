import { z } from 'zod';
import { text } from '../http/fields.ts';
import { parseInput } from '../http/validation.ts';
import { maxUsernameLength, normalizeAddress, type Username } from '../users/username.ts';

const email = text(1, maxUsernameLength)
  .superRefine((written, context) => {
    const parsed = normalizeAddress(written);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
  })
  .describe('The address that the code goes to.');

const deviceToken = text(1, 200)
  .nullish()
  .describe(
    'The `device_token` of an earlier sign-in on this device: a part of what may be sent and guessed is kept for it. One that is not, or no longer, known counts as none.',
  );

/** What people paste around and between digits. */
const separators = /[\s-]/g;

/** The 6 to 8 digits of a code as somebody has typed it; null where it can't be one. */
export function codeAsTyped(written: string): string | null {
  const code = written.replaceAll(separators, '');
  return /^[0-9]{6,8}$/.test(code) ? code : null;
}

/** Body of `POST /auth/request-otp`. */
export const requestOtpBody = z
  .strictObject({ email, device_token: deviceToken })
  .meta({ id: 'RequestOtp', examples: [{ email: 'alice@example.com' }] });

/** Body of `POST /auth/verify-otp`. */
export const verifyOtpBody = z
  .strictObject({
    email,
    otp: text(6, 40)
      .refine((written) => codeAsTyped(written) !== null, 'must be the code of the mail, 6 to 8 digits')
      .describe('The code; white space and hyphens in it do not count.'),
    device_token: deviceToken,
  })
  .meta({ id: 'VerifyOtp', examples: [{ email: 'alice@example.com', otp: '123456' }] });

/** What both requests say. */
export interface OtpAsked {
  readonly email: Username;
  readonly deviceToken: string | undefined;
}

/** What a guess says besides. `code`: 6 to 8 digits. */
export type VerifyAsked = OtpAsked & { readonly code: string };

/** @throws invalid_request (422) */
export function parseRequestOtp(body: unknown): OtpAsked {
  return askedIn(parseInput(requestOtpBody, body));
}

/** @throws invalid_request (422) */
export function parseVerifyOtp(body: unknown): VerifyAsked {
  const parsed = parseInput(verifyOtpBody, body);
  return { ...askedIn(parsed), code: parsed.otp.replaceAll(separators, '') };
}

function askedIn(body: { email: string; device_token?: string | null | undefined }): OtpAsked {
  const parsed = normalizeAddress(body.email);
  if (!parsed.ok) throw new Error('the schema let through what is no address');
  const { address, key } = parsed;
  return { email: { address, key }, deviceToken: body.device_token ?? undefined };
}

export const requestOtpAnswer = z
  .object({
    success: z.literal(true),
    message: z.string(),
    expires_in: z.number().int().describe('Seconds for which the code is good.'),
    resend_in: z.number().int().describe('Seconds after which another one may be asked for.'),
  })
  .meta({ id: 'OtpRequested' });

export const verifyOtpAnswer = z
  .object({
    success: z.literal(true),
    token: z.string().describe('The access token, a JWT (RFC 9068).'),
    token_type: z.literal('Bearer'),
    expires_in: z.number().int().describe('Seconds for which the access token is good.'),
    refresh_token: z.string(),
    user: z.object({ id: z.string(), email: z.string() }),
    device_token: z
      .string()
      .describe('To be kept on the device and sent along the next time somebody signs in on it.'),
  })
  .meta({ id: 'OtpVerified' });
