import dev.sigstore.KeylessSigner;
import dev.sigstore.KeylessVerifier;
import dev.sigstore.SigningConfigProvider;
import dev.sigstore.TrustedRootProvider;
import dev.sigstore.VerificationOptions;
import dev.sigstore.bundle.Bundle;
import dev.sigstore.oidc.client.OidcClients;
import dev.sigstore.oidc.client.TokenStringOidcClient;
import dev.sigstore.strings.StringMatcher;
import dev.sigstore.tuf.RootProvider;
import dev.sigstore.tuf.SigstoreTufClient;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * sigstore-java: {@code sign|verify BLOB BUNDLE}. Trust comes from DAYFLY_FILES, or from DAYFLY_MIRROR with DAYFLY_ROOT
 * and a cache in DAYFLY_CACHE; a signer's token from SIGSTORE_ID_TOKEN; whom to expect from IDENTITY and ISSUER.
 */
public final class Client {
  public static void main(String[] words) throws Exception {
    Path blob = Path.of(words[1]);
    Path bundle = Path.of(words[2]);
    if (words[0].equals("sign")) {
      sign(blob, bundle);
    } else {
      verify(blob, bundle);
    }
  }

  private static void sign(Path blob, Path bundle) throws Exception {
    var token = TokenStringOidcClient.from(System.getenv("SIGSTORE_ID_TOKEN"));
    var files = System.getenv("DAYFLY_FILES");
    var builder = KeylessSigner.builder().sigstorePublicDefaults();
    if (files != null) {
      builder.signingConfigProvider(SigningConfigProvider.from(Path.of(files, "signing_config.v0.2.json")));
    } else {
      builder.signingConfigProvider(SigningConfigProvider.from(mirror()));
    }
    builder.trustedRootProvider(trustedRoot());
    builder.forceCredentialProviders(OidcClients.of(token));
    builder.enableRekorV2(true);
    try (var signer = builder.build()) {
      Files.writeString(bundle, signer.signFile(blob).toJson());
    }
  }

  private static void verify(Path blob, Path bundle) throws Exception {
    var expected =
        VerificationOptions.CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(System.getenv("IDENTITY")))
            .issuer(StringMatcher.string(System.getenv("ISSUER")))
            .build();
    var verifier = KeylessVerifier.builder().trustedRootProvider(trustedRoot()).build();
    verifier.verify(
        blob,
        Bundle.from(bundle, StandardCharsets.UTF_8),
        VerificationOptions.builder().addCertificateMatchers(expected).build());
  }

  private static TrustedRootProvider trustedRoot() {
    var files = System.getenv("DAYFLY_FILES");
    return files != null
        ? TrustedRootProvider.from(Path.of(files, "trusted_root.json"))
        : TrustedRootProvider.from(mirror());
  }

  private static SigstoreTufClient.Builder mirror() {
    var first = RootProvider.fromFile(Path.of(System.getenv("DAYFLY_ROOT")));
    return SigstoreTufClient.builder()
        .tufMirror(URI.create(System.getenv("DAYFLY_MIRROR")), first)
        .tufCacheLocation(Path.of(System.getenv("DAYFLY_CACHE")));
  }
}
