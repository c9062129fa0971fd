//! `COPY` and `ADD`: what goes where, whose it is, and that nothing gets out.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::Project;
use crate::daemon;

const COPIES: &str = r#"FROM busybox
RUN echo named:x:70:71::/: >> /etc/passwd && echo named:x:72: >> /etc/group
RUN mkdir -p /there/real && ln -s /there/real /link && chmod 1777 /there && touch /there/real/old
COPY one.txt /as-file
COPY one.txt /as-dir/
COPY one.txt two.txt /both/
COPY *.txt /globbed/
COPY t?o.txt d[a-i]r /mixed/
COPY dir /dir-contents
COPY dir/. /link/
COPY one.txt /link
COPY link-to-one /followed
COPY ["with space.txt", "/sp ace/"]
WORKDIR /work
COPY one.txt .
COPY one.txt renamed
COPY --chown=33:44 dir /owned
COPY --chown=named one.txt /owned/
COPY . /all
"#;

#[test]
fn files_and_directories_go_where_they_are_said_to() {
    let daemon = daemon();
    let project = Project::new(&daemon, "copies", COPIES);
    project.write("one.txt", "one\n");
    project.write("two.txt", "two\n");
    project.write("with space.txt", "space\n");
    project.write("dir/sub/deep", "deep\n");
    project.write("dir/top", "top\n");
    project.write(
        ".dockerignore",
        "# not these\n**/*.log\n!keep.log\nsecret\n",
    );
    project.write("some.log", "log\n");
    project.write("keep.log", "log\n");
    project.write("secret/key", "key\n");
    let executable = std::fs::Permissions::from_mode(0o751);
    std::fs::set_permissions(project.dir.join("dir/top"), executable).unwrap();
    symlink("one.txt", project.dir.join("link-to-one")).unwrap();
    symlink("top", project.dir.join("dir/relative")).unwrap();
    project.build(&[]).ok();
    let script = "cd /; find as-file as-dir both globbed mixed dir-contents there 'sp ace' work \
                  followed | sort";
    let wanted = "as-dir as-dir/one.txt as-file both both/one.txt both/two.txt dir-contents \
                  dir-contents/relative dir-contents/sub dir-contents/sub/deep dir-contents/top \
                  followed globbed globbed/one.txt globbed/two.txt globbed/with_space.txt mixed \
                  mixed/relative mixed/sub mixed/sub/deep mixed/top mixed/two.txt sp_ace \
                  sp_ace/with_space.txt there there/real there/real/old there/real/one.txt \
                  there/real/relative there/real/sub there/real/sub/deep there/real/top work \
                  work/one.txt work/renamed";
    let found = project.run(&["sh", "-c", script]).replace(' ', "_");
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        wanted.split(' ').collect::<Vec<_>>()
    );
    let described = project.run(&[
        "stat",
        "-c",
        "%n %a %u:%g %F",
        "/there",
        "/link",
        "/as-dir",
        "/dir-contents/top",
        "/owned",
        "/owned/top",
        "/owned/one.txt",
        "/followed",
        "/dir-contents/relative",
    ]);
    assert_eq!(
        described.lines().collect::<Vec<_>>(),
        [
            "/there 1777 0:0 directory",
            "/link 777 0:0 symbolic link",
            "/as-dir 755 0:0 directory",
            "/dir-contents/top 751 0:0 regular file",
            "/owned 755 33:44 directory",
            "/owned/top 751 33:44 regular file",
            "/owned/one.txt 644 70:72 regular file",
            "/followed 644 0:0 regular file",
            "/dir-contents/relative 777 0:0 symbolic link",
        ]
    );
    assert_eq!(project.run(&["sh", "-c", "ls /all/*.log"]), "/all/keep.log");
    project
        .docker
        .run(&["run", "--rm", "copies", "ls", "/all/secret"])
        .fails(1);
}

#[test]
fn archives_are_unpacked_by_add_only() {
    let daemon = daemon();
    let project = Project::new(
        &daemon,
        "archives",
        "FROM busybox\nADD some.tar.gz /added/\nCOPY some.tar.gz /copied/\nADD plain.gz /added/\n\
         ADD some.tar.xz /xz/\nADD some.tar.bz2 /bz2/\n",
    );
    let script = "cd \"$1\" && mkdir -p in/dir && echo in > in/dir/file && \
                  tar -C in --owner=7 --group=8 -czf some.tar.gz . && echo plain | gzip > plain.gz && \
                  cd in && for kind in xz bz2; do python3 -m tarfile -c ../some.tar.$kind dir; done";
    let packed = std::process::Command::new("sh")
        .args(["-c", script, "sh", project.dir.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(packed.success());
    project.build(&[]).ok();
    let script = "cd /; find added bz2 copied xz -type f | sort; stat -c %u:%g /added/dir/file";
    assert_eq!(
        project.run(&["sh", "-c", script]),
        "added/dir/file\nadded/plain.gz\nbz2/dir/file\ncopied/some.tar.gz\nxz/dir/file\n7:8"
    );
}

#[test]
fn nothing_outside_of_the_context_is_copied() {
    let daemon = daemon();
    let project = Project::new(&daemon, "outside", "FROM busybox\nCOPY link /link\n");
    let secret = daemon.scratch().join("outside-secret");
    std::fs::write(&secret, "secret").unwrap();
    for target in [
        "../outside-secret",
        secret.to_str().unwrap(),
        "/etc/hostname",
    ] {
        let link = project.dir.join("link");
        drop(std::fs::remove_file(&link));
        symlink(target, &link).unwrap();
        let answer = project.build(&[]);
        assert_ne!(answer.code, 0, "{target}: {answer:?}");
    }
    std::fs::remove_file(project.dir.join("link")).unwrap();
    project.write("Dockerfile", "FROM busybox\nCOPY ../outside-secret /x\n");
    let answer = project.build(&[]);
    assert_ne!(answer.code, 0, "{answer:?}");
    // A link of the image leads nowhere but into the image.
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN mkdir /outside && ln -s /../../../../outside /out\n\
         COPY Dockerfile /out/x\nRUN cat /outside/x\n",
    );
    project.build(&[]).ok();
}

#[test]
fn what_cannot_be_copied_is_named() {
    let daemon = daemon();
    let project = Project::new(&daemon, "uncopied", "");
    project.write("a", "a");
    project.write("b", "b");
    for (line, words) in [
        (
            "COPY missing /x",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat missing: file does not exist",
        ),
        (
            "COPY missing* /x",
            "COPY failed: no source files were specified",
        ),
        (
            "COPY a b /x",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        ("COPY --from=nowhere a /x", "nowhere"),
        ("COPY --chown=nobody-here a /x", "nobody-here"),
    ] {
        project.write("Dockerfile", &format!("FROM busybox\n{line}\n"));
        let answer = project.build(&[]);
        assert!(answer.fails(1).contains(words), "{line}: {answer:?}");
        assert_eq!(project.docker.run(&["images", "-q", "uncopied"]).ok(), "");
    }
}
