package dev.jcr.cli.migrate;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.Date;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/// Who this host is, and whom it trusts: a private key, its certificate, and the SHA-256
/// fingerprints of the certificates of other hosts. There is no authority and no name to be
/// checked: exactly the paired certificates are let in, while they are valid.
///
/// Files in a folder of mode 0700: `key.pem` (PKCS 8), `cert.pem`, `trusted` (a fingerprint a
/// line).
public final class Credentials {
  private static final String PROTOCOL = "TLSv1.3";
  private static final int YEARS_OF_DAYS = 3650;
  private static final Pattern PEM =
      Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\\s]+)-----END \\1-----");
  private static final Pattern FINGERPRINT = Pattern.compile("[0-9a-f]{64}");

  private final PrivateKey key;
  private final List<X509Certificate> chain;
  private final Set<String> trusted;

  private Credentials(PrivateKey key, List<X509Certificate> chain, Set<String> trusted) {
    this.key = key;
    this.chain = chain;
    this.trusted = trusted;
  }

  /// Makes key and certificate, once: what is there stays.
  ///
  /// @return the fingerprint, for the other hosts
  public static String create(Path folder) throws CheckpointException {
    try {
      Files.createDirectories(
          folder,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      if (!Files.exists(folder.resolve("key.pem"))) {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        write(folder.resolve("cert.pem"), pem("CERTIFICATE", selfSigned(pair).getEncoded()));
        // Last: with the key the pair is whole.
        write(folder.resolve("key.pem"), pem("PRIVATE KEY", pair.getPrivate().getEncoded()));
      }
      return fingerprint(certificates(folder.resolve("cert.pem")).getFirst());
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "create", folder, e, "choose another folder with --dir");
    } catch (GeneralSecurityException | OperatorCreationException e) {
      throw new IllegalStateException(e);
    }
  }

  private static X509Certificate selfSigned(KeyPair pair)
      throws GeneralSecurityException, OperatorCreationException, IOException {
    X500Name name = new X500Name("CN=jcr");
    Instant now = Instant.now();
    byte[] encoded =
        new JcaX509v3CertificateBuilder(
                name,
                new BigInteger(127, new SecureRandom()),
                Date.from(now.minus(1, ChronoUnit.DAYS)),
                Date.from(now.plus(YEARS_OF_DAYS, ChronoUnit.DAYS)),
                name,
                pair.getPublic())
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()))
            .getEncoded();
    return (X509Certificate)
        CertificateFactory.getInstance("X.509")
            .generateCertificate(new ByteArrayInputStream(encoded));
  }

  /// Lets another host's certificate in.
  public static void trust(Path folder, String fingerprint) throws CheckpointException {
    String digits = fingerprint.toLowerCase(java.util.Locale.ROOT).replace(":", "");
    if (!FINGERPRINT.matcher(digits).matches()) {
      throw new CheckpointException(
          Outcome.USAGE,
          "cannot trust "
              + fingerprint
              + ": not a SHA-256 fingerprint; it is what jcr serve --init prints there");
    }
    Path file = folder.resolve("trusted");
    try {
      Files.createDirectories(folder);
      Files.writeString(file, digits + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "write", file, e, "choose another folder with --dir");
    }
  }

  /// Reads key, certificate and the trusted ones.
  ///
  /// @param key PEM of a private key, PKCS 8
  /// @param certificate PEM of its certificate, or a chain
  /// @param trusted file of fingerprints, or PEM of certificates
  public static Credentials load(Path key, Path certificate, Path trusted)
      throws CheckpointException {
    try {
      return new Credentials(
          privateKey(Files.readString(key)), certificates(certificate), trusted(trusted));
    } catch (NoSuchFileException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot read "
              + e.getFile()
              + ": ENOENT (no such file or directory); run jcr serve --init on both hosts, and jcr"
              + " serve --trust with the other's fingerprint",
          e);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "read", certificate, e, "run jcr serve --init");
    } catch (GeneralSecurityException | IllegalArgumentException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot read key "
              + key
              + " and certificate "
              + certificate
              + ": "
              + e.getMessage()
              + "; they must be PEM, the key PKCS 8",
          e);
    }
  }

  private static Set<String> trusted(Path file) throws IOException, GeneralSecurityException {
    Set<String> trusted = new TreeSet<>();
    String text = Files.readString(file);
    if (text.contains("-----BEGIN")) {
      for (X509Certificate each : certificates(file)) {
        trusted.add(fingerprint(each));
      }
    } else {
      text.lines().map(String::strip).filter(line -> !line.isEmpty()).forEach(trusted::add);
    }
    return trusted;
  }

  private static List<X509Certificate> certificates(Path file)
      throws IOException, GeneralSecurityException {
    try (InputStream in = Files.newInputStream(file)) {
      return CertificateFactory.getInstance("X.509").generateCertificates(in).stream()
          .map(X509Certificate.class::cast)
          .toList();
    }
  }

  private static PrivateKey privateKey(String pem) throws GeneralSecurityException {
    Matcher matcher = PEM.matcher(pem);
    if (!matcher.find() || !matcher.group(1).equals("PRIVATE KEY")) {
      throw new InvalidKeySpecException("no PRIVATE KEY");
    }
    PKCS8EncodedKeySpec spec =
        new PKCS8EncodedKeySpec(
            Base64.getMimeDecoder().decode(matcher.group(2).getBytes(StandardCharsets.ISO_8859_1)));
    for (String algorithm : List.of("EC", "RSA", "Ed25519")) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(spec);
      } catch (InvalidKeySpecException _) {
        // Of another kind.
      }
    }
    throw new InvalidKeySpecException("the key is neither EC, RSA nor Ed25519");
  }

  private static void write(Path file, String text) throws IOException {
    try {
      Files.createFile(
          file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    } catch (FileAlreadyExistsException _) {
      // From a run that was cut short.
    }
    Files.writeString(file, text);
  }

  private static String pem(String type, byte[] der) {
    String body =
        Base64.getMimeEncoder(64, "\n".getBytes(StandardCharsets.ISO_8859_1)).encodeToString(der);
    return "-----BEGIN " + type + "-----\n" + body + "\n-----END " + type + "-----\n";
  }

  /// SHA-256 of a certificate in hexadecimal digits.
  static String fingerprint(Certificate certificate) throws CertificateException {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    } catch (GeneralSecurityException e) {
      throw new CertificateException(e);
    }
  }

  /// TLS 1.3 and nothing else, both sides with a certificate.
  SSLContext context() {
    try {
      KeyStore store = KeyStore.getInstance("PKCS12");
      store.load(null, null);
      store.setKeyEntry("jcr", key, new char[0], chain.toArray(Certificate[]::new));
      KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
      keys.init(store, new char[0]);
      SSLContext context = SSLContext.getInstance(PROTOCOL);
      context.init(
          keys.getKeyManagers(), new TrustManager[] {new Pinned(trusted)}, new SecureRandom());
      return context;
    } catch (GeneralSecurityException | IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /// What both sides ask of a socket.
  static void restrict(SSLSocket socket) {
    socket.setEnabledProtocols(new String[] {PROTOCOL});
  }

  /// Exactly the paired certificates.
  private static final class Pinned extends X509ExtendedTrustManager {
    private final Set<String> trusted;

    Pinned(Set<String> trusted) {
      this.trusted = Set.copyOf(trusted);
    }

    private void check(X509Certificate[] chain) throws CertificateException {
      if (chain.length == 0) {
        throw new CertificateException("no certificate");
      }
      requireValid(chain[0]);
      String fingerprint = fingerprint(chain[0]);
      if (!trusted.contains(fingerprint)) {
        throw new CertificateException(
            "certificate " + fingerprint + " is not trusted here; pair it with jcr serve --trust");
      }
    }

    private static void requireValid(X509Certificate certificate) throws CertificateException {
      try {
        certificate.checkValidity();
      } catch (CertificateExpiredException e) {
        throw new CertificateException(
            "certificate %s expired at %s; make another with jcr serve --init and pair it"
                .formatted(fingerprint(certificate), certificate.getNotAfter().toInstant()),
            e);
      } catch (CertificateNotYetValidException e) {
        throw new CertificateException(
            "certificate %s is valid from %s on only; look at the clocks of both hosts"
                .formatted(fingerprint(certificate), certificate.getNotBefore().toInstant()),
            e);
      }
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type)
        throws CertificateException {
      check(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type)
        throws CertificateException {
      check(chain);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
        throws CertificateException {
      check(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
        throws CertificateException {
      check(chain);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
        throws CertificateException {
      check(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
        throws CertificateException {
      check(chain);
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
